package directory

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var login = &checks.Setting[platform.Login]{
	Key:     "logins.directory",
	Doc:     "The login for cn=config and cn=monitor of the directory servers, and for the entries that --canary writes. On a directory server, run as root or zextras, none is needed: cn=config's is read from Carbonio's local configuration.",
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
	Doc:  "Write a small entry on each directory master, check that it arrives on every other server, and delete it again.",
}
