package machine

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links a path may take, as in Linux (path_resolution(7)).
const maxLinks = 40

// A chroot is a directory seen as a whole file system. A symbolic link means
// what it would mean after chroot(2): /etc/localtime -> /usr/share/zoneinfo/UTC
// is looked up below the directory, and .. stops at it. os.Root below it
// refuses whatever would leave the directory all the same.
type chroot struct{ dir fs.FS }

func openChroot(dir string) (chroot, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return chroot{}, err
	}
	return chroot{root.FS()}, nil
}

// Open opens what the path leads to.
func (c chroot) Open(name string) (fs.File, error) {
	return resolved(c, "open", name, follow, c.dir.Open)
}

// Stat describes what the path leads to.
func (c chroot) Stat(name string) (fs.FileInfo, error) {
	return resolved(c, "stat", name, follow, func(p string) (fs.FileInfo, error) { return fs.Stat(c.dir, p) })
}

// ReadDir lists the directory that the path leads to.
func (c chroot) ReadDir(name string) ([]fs.DirEntry, error) {
	return resolved(c, "readdir", name, follow, func(p string) ([]fs.DirEntry, error) { return fs.ReadDir(c.dir, p) })
}

// Lstat describes the path itself, be it a link.
func (c chroot) Lstat(name string) (fs.FileInfo, error) {
	return resolved(c, "lstat", name, keep, func(p string) (fs.FileInfo, error) { return fs.Lstat(c.dir, p) })
}

// ReadLink reads the link at the path.
func (c chroot) ReadLink(name string) (string, error) {
	return resolved(c, "readlink", name, keep, func(p string) (string, error) { return fs.ReadLink(c.dir, p) })
}

// What to do with a link at the end of a path.
const (
	follow = true
	keep   = false
)

func resolved[T any](c chroot, op, name string, followLast bool, do func(string) (T, error)) (T, error) {
	real, err := c.resolve(name, followLast)
	if err != nil {
		var none T
		return none, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return do(real)
}

// resolve takes the links out of a path, the last one only when it is to be followed.
func (c chroot) resolve(name string, followLast bool) (string, error) {
	if !fs.ValidPath(name) {
		return "", fs.ErrInvalid
	}
	done, todo := ".", strings.Split(name, "/")
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			done = path.Dir(done) // of "." that is "."
			continue
		}
		next := path.Join(done, part)
		target, isLink, err := c.link(next)
		if err != nil {
			return "", err
		}
		if !isLink || len(todo) == 0 && !followLast {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", syscall.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			done = "."
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return done, nil
}

// link says where the path points if it is a link.
func (c chroot) link(name string) (target string, isLink bool, err error) {
	info, err := fs.Lstat(c.dir, name)
	if err != nil {
		return "", false, cause(err)
	}
	if info.Mode().Type() != fs.ModeSymlink {
		return "", false, nil
	}
	target, err = fs.ReadLink(c.dir, name)
	return target, true, cause(err)
}

// cause leaves out the path of the inner file system: the caller asked for another.
func cause(err error) error {
	p := &fs.PathError{}
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
