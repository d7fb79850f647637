package platform

import (
	"errors"
	"fmt"
)

// A Login is a user and where the password is.
type Login struct {
	User     string    `yaml:"user" json:"user"` // of the directory: a DN
	Password SecretRef `yaml:"password" json:"password"`
}

// Check refuses a login without its user or password.
func (l Login) Check() error {
	if l.User == "" {
		return errors.New("user is missing")
	}
	if err := l.Password.Check(); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	return nil
}
