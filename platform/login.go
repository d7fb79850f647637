package platform

// Logins are how to log in to the services of a platform where they do not
// answer anybody. A login that is not given is its zero value.
type Logins struct {
	Postgres  Login     `yaml:"postgres" json:"postgres,omitzero"`
	Directory Login     `yaml:"directory" json:"directory,omitzero"` // User is a DN
	Mesh      SecretRef `yaml:"mesh_token" json:"mesh_token,omitzero"`
}

// A Login is a user and where the password is.
type Login struct {
	User     string    `yaml:"user" json:"user"`
	Password SecretRef `yaml:"password" json:"password"`
}
