package directory

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var login = &checks.Setting[platform.Login]{
	Key:     "logins.directory",
	Doc:     "The login that reads cn=config and cn=monitor of the directory servers, and writes the canary. On a directory server, as root or zextras, that of cn=config is taken from Carbonio's local configuration.",
	Sources: []platform.Source{platform.CoreUtils.On("replchk.pl")},
	Sample:  "{user: cn=config, password: {file: /root/ldap.password}}",
	Check: func(l platform.Login) error {
		if l == (platform.Login{}) {
			return nil
		}
		return l.Check()
	},
}

var withCanary = &checks.Setting[bool]{
	Flag: "canary",
	Doc:  "write a small entry on each directory master, see it arrive on every other server, and delete it again",
}
