package postgres

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var login = &checks.Setting[platform.Login]{
	Key:     "logins.postgres",
	Doc:     "The user to log in to PostgreSQL as, and where the password is: a file or an environment variable. It reads the version, the role of each server and the owners of the databases.",
	Sources: []platform.Source{platform.Troubleshooting.On("databases")},
	Sample:  "{user: carbonio_adm, password: {file: /root/carbonio-inventory_postgrespassword}}",
	Check: func(l platform.Login) error {
		if l == (platform.Login{}) {
			return nil
		}
		return l.Check()
	},
}
