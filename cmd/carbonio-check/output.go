package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"carbonio-check/platform"
	"carbonio-check/report"
	"carbonio-check/terminal"
)

// A format is a rendering of an R, by its name on the command line.
type format[R any] struct {
	name  string
	write func(io.Writer, R, terminal.Terminal) error
}

// formats are those of a report.
var formats = []format[report.Report]{
	{"tty", report.TTY},
	{"json", func(w io.Writer, r report.Report, _ terminal.Terminal) error { return report.JSON(w, r) }},
	{"junit", func(w io.Writer, r report.Report, _ terminal.Terminal) error { return report.JUnit(w, r) }},
}

func formatNames[R any](formats []format[R]) []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return names
}

// outputs are the renderings to write: each is opened before the run, so that a
// wrong path is told at once and not after the work is done.
type outputs[R any] struct{ all []output[R] }

type output[R any] struct {
	write    func(io.Writer, R, terminal.Terminal) error
	to       io.Writer
	terminal terminal.Terminal
	file     *os.File // nil: standard output
	path     string   // what the file is renamed to when it is whole; empty: it stays
}

// open reads the --output flags of a verb that writes a report.
func (f *flags) open(stdout io.Writer) (*outputs[report.Report], error) {
	o, err := openOutputs(formats, f.outputs, stdout)
	if err == nil && f.verbose {
		for i := range o.all {
			o.all[i].terminal.Verbose = true
		}
	}
	return o, err
}

// openOutputs reads --output flags.
func openOutputs[R any](formats []format[R], specs []string, stdout io.Writer) (*outputs[R], error) {
	o := &outputs[R]{}
	onStdout := ""
	for _, spec := range specs {
		name, path, toFile := strings.Cut(spec, "=")
		one, err := newOutput(formats, name)
		if err == nil && toFile {
			err = one.create(path)
		}
		if err == nil && !toFile {
			if onStdout != "" {
				err = fmt.Errorf("--output %s and %s both go to standard output: give one of them a file, %s=FILE", onStdout, name, name)
			}
			onStdout, one.to, one.terminal = name, stdout, terminal.Of(stdout)
		}
		if err != nil {
			o.discard()
			return nil, err
		}
		o.all = append(o.all, one)
	}
	return o, nil
}

func newOutput[R any](formats []format[R], name string) (output[R], error) {
	for _, f := range formats {
		if f.name == name {
			return output[R]{write: f.write, terminal: terminal.Terminal{Width: terminal.Classic}}, nil
		}
	}
	if n := platform.Nearest(name, formatNames(formats)); n != "" {
		return output[R]{}, fmt.Errorf("--output %q: did you mean %s?", name, n)
	}
	return output[R]{}, fmt.Errorf("--output %q: want one of %s", name, strings.Join(formatNames(formats), ", "))
}

// create opens a temporary file beside path, readable by its owner alone. What
// is there and no file, such as a pipe or /dev/null, is written to as it is: to
// put a file in its place would break it for everybody.
func (o *output[R]) create(path string) error {
	if path == "" {
		return errors.New("--output: a file name is missing after =")
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // not the link is replaced, but what it leads to
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("--output: cannot write %s: it is a directory", path)
	case err == nil && !info.Mode().IsRegular():
		// A pipe that nobody reads would hang without O_NONBLOCK.
		o.file, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	default:
		o.file, err = os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
		o.path = path
	}
	switch {
	case errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("--output: cannot write %s: no process reads it", path)
	case err != nil:
		return fmt.Errorf("--output: cannot write %s: %w", path, errors.Unwrap(err))
	}
	o.to = o.file
	return nil
}

// write writes every rendering. One that cannot be written does not keep the
// others from being.
func (o *outputs[R]) write(r R) error {
	var errs []error
	for i := range o.all {
		if err := o.all[i].finish(r); err != nil {
			errs = append(errs, fmt.Errorf("cannot write the report: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (o *output[R]) finish(r R) error {
	w := bufio.NewWriter(o.to)
	err := cmp.Or(o.write(w, r, o.terminal), w.Flush())
	if o.path == "" {
		return err // discard closes it
	}
	err = cmp.Or(err, o.file.Sync(), o.file.Close())
	if err == nil {
		err = os.Rename(o.file.Name(), o.path)
	}
	if err == nil {
		o.file = nil
	}
	return err
}

// discard closes what was opened, and removes what was not finished.
func (o *outputs[R]) discard() {
	for _, one := range o.all {
		if one.file != nil {
			_ = one.file.Close()
		}
		if one.file != nil && one.path != "" {
			_ = os.Remove(one.file.Name())
		}
	}
}
