package store

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/minio/minio-go/v7"
)

// Error is why a request failed: the server's word, or the way to it. It never
// holds a credential, whatever the server replied.
type Error struct {
	Op      string // "put", "list", …
	Code    string // the server's: "AccessDenied"; empty when no server answered in S3's manner
	Message string
	Status  int       // of HTTP; 0 when nothing answered
	Server  time.Time // the server's clock, zero when unknown
	Region  string    // the bucket's, where the server corrects us
	cause   error
}

// Error gives "put: Access Denied (AccessDenied, HTTP 403)".
func (e *Error) Error() string {
	var details []string
	if e.Code != "" && e.Code != e.Message {
		details = append(details, e.Code)
	}
	if e.Status != 0 {
		details = append(details, fmt.Sprintf("HTTP %d", e.Status))
	}
	s := e.Op + ": " + e.Message
	if len(details) > 0 {
		s += " (" + strings.Join(details, ", ") + ")"
	}
	return s
}

// Unwrap is the error of the network, of TLS or of the context, if it was one.
func (e *Error) Unwrap() error { return e.cause }

// Throttled: the server asks to be asked less often.
func (e *Error) Throttled() bool {
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable ||
		strings.HasPrefix(e.Code, "SlowDown")
}

// Full: there is no room, or none that we may use.
func (e *Error) Full() bool {
	return e.Status == http.StatusInsufficientStorage || strings.Contains(e.Code, "QuotaExceeded") ||
		e.Code == "XMinioStorageFull"
}

// Code is the server's code of an error, or empty.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

const maxMessage = 512

// fail makes an error of the library ours.
func (s *Store) fail(op string, t *trip, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	e := &Error{Op: op, Server: t.server}
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok {
		e.Code, e.Message, e.Status, e.Region = r.Code, cmp.Or(r.Message, r.Code), r.StatusCode, r.Region
	} else {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL says nothing new
		}
		e.Message = err.Error()
		if strings.HasPrefix(e.Message, "Connection closed by foreign host") { // the library's, with the whole URL
			e.Message = "the server closed the connection"
		}
		if s.Scrub(e.Message) == e.Message {
			e.cause = err
		}
	}
	for _, field := range []*string{&e.Code, &e.Message, &e.Region} {
		*field = s.Scrub(*field)
	}
	return e
}

// printable is a server's word as it can be shown on a terminal: no escapes, no
// other writing direction, no more of it than anybody reads.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "")
	}
	return text
}

// A scrubber takes known secrets out of texts.
type scrubber struct{ forms []string }

const redacted = "[redacted]"

// newScrubber knows the secrets as they are, and as URLs, XML, base64 and hex
// write them. The longest form goes first, for one may contain another.
func newScrubber(secrets ...string) scrubber {
	var forms []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		forms = append(forms, secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
			strings.ReplaceAll(secret, "/", `\/`), lowerEscapes(url.QueryEscape(secret)), lowerEscapes(url.PathEscape(secret)),
			hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))))
		for shift := range 3 {
			forms = append(forms, inBase64(base64.StdEncoding, secret, shift), inBase64(base64.URLEncoding, secret, shift))
		}
	}
	forms = slices.DeleteFunc(forms, func(f string) bool { return f == "" })
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), cmp.Compare(a, b)) })
	return scrubber{slices.Compact(forms)}
}

// inBase64 is what stands in base64 of any text that holds the secret at an
// offset of shift bytes modulo three, without the letters it shares with others.
func inBase64(e *base64.Encoding, secret string, shift int) string {
	text := e.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
	from := (shift*8 + 5) / 6
	to := (shift + len(secret)) * 8 / 6
	if to-from < 4 {
		return "" // too short to recognise
	}
	return text[from:to]
}

// lowerEscapes turns "%2F" into "%2f".
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

func (s scrubber) scrub(text string) string {
	for _, f := range s.forms {
		text = strings.ReplaceAll(text, f, redacted)
	}
	return text
}
