package s3

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/s3bench/store"
)

// Two mailstores share a bucket when one reads what the other wrote. A run removes
// what it writes, so they have to look at the same time: each writes a marker that
// names it, and reads the markers of the others while these exist. Where they did
// not, what else the bucket contains shows whether it is the same one.

const (
	// meetingTime is how long a mailstore waits for the others to write. Ansible
	// starts the same command everywhere within a second or two.
	meetingTime = 5 * time.Second
	meetingPoll = 250 * time.Millisecond
	// lingering is how long a marker stays after all the others were read, so that
	// the last mailstore to look still finds it.
	lingering = 4 * meetingPoll
	// maxMarkers bounds what is read from other runs.
	maxMarkers = 1000
	// maxMarker bounds a marker, in bytes.
	maxMarker = 1 << 10
	// sampled is how many of the bucket's first objects represent its contents.
	sampled = 100
	markers = "shared/"
)

// sharing is what one mailstore saw of the others in a bucket.
type sharing struct {
	round        // without the requests that write
	Failed *step `json:"failed,omitempty"`
	// Own is the marker that it wrote; it existed from Written to Until, by the
	// server's clock, which is the same for all.
	Own     *marker   `json:"own,omitempty"`
	Written time.Time `json:"written,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Read    []marker  `json:"read,omitempty"` // the others', by key
	// Sample holds fingerprints of the first objects that are not ours.
	Sample []string `json:"sample,omitempty"`
}

// A marker is an object with a node's name, which another mailstore reads.
type marker struct {
	Key  string `json:"key"`
	Hash string `json:"hash"` // of its contents
}

// An exchange is a look at the other mailstores under way.
type exchange struct {
	sharing
	*session
	peers
	missing []string // of the others, whose markers were not read yet
}

func observeShared(ctx context.Context, host checks.Host, t checks.Target[peers]) (sharing, error) {
	if len(t.Ask.Others) == 0 {
		return sharing{}, nil // nobody to look for
	}
	s, err := begin(host, t.Ask.Bucket)
	if err != nil {
		return sharing{round: round{Unopened: err.Error()}}, nil
	}
	defer s.store.Close()
	x := &exchange{session: s, peers: t.Ask, missing: slices.Clone(t.Ask.Others)}
	writable := x.mayWrite(ctx)
	first := x.session.Steps[0]
	if first.ok() {
		x.sample(ctx)
	} else {
		x.Failed = &first // without listing nobody can be found
	}
	if x.Failed == nil && writable {
		x.session.Left = x.cleaned(ctx, x.meet)
	}
	x.sharing.round = x.session.round
	return x.sharing, x.ended(ctx)
}

// meet writes a marker, and reads those of the others until all were found.
func (x *exchange) meet(ctx context.Context) {
	text := x.Self + " " + rand.Text()
	name := markers + strings.ToLower(x.Self)
	info, err := x.space.Put(ctx, name, strings.NewReader(text), int64(len(text)))
	if err != nil {
		x.Failed = new(outcome(stepPut, err))
		return
	}
	x.Own = &marker{Key: x.space.Key(name), Hash: hash(text)}
	x.Written = info.Server
	began := time.Now()
	x.wait(ctx)
	x.Until = x.Written.Add(time.Since(began))
	slices.SortFunc(x.Read, func(a, b marker) int { return cmp.Compare(a.Key, b.Key) })
}

// sample takes fingerprints of what the bucket holds besides our own objects.
func (x *exchange) sample(ctx context.Context) {
	objects, err := x.store.List(ctx, "", sampled+maxMarkers)
	if err != nil {
		x.Failed = new(outcome(stepList, err))
	}
	for _, o := range objects {
		if strings.HasPrefix(o.Key, store.Root) || len(x.Sample) == sampled {
			continue
		}
		x.Sample = append(x.Sample, hash(o.Key + "\x00" + o.ETag)[:12])
	}
}

// wait polls for markers until those of all the others were read and they had
// time to read ours, or the time is over.
func (x *exchange) wait(ctx context.Context) {
	ctx, cancel := checks.Share(ctx, 0.5) // the rest is for removing the marker
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, meetingTime)
	defer cancel()
	poll := time.NewTicker(meetingPoll)
	defer poll.Stop()
	left := lingering
	for {
		x.collect(ctx)
		if len(x.missing) == 0 {
			if left -= meetingPoll; left <= 0 {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// writer is the mailstore that wrote a marker, empty for any other key:
// "carbonio-check/<run>/shared/<node>".
func (x *exchange) writer(key string) string {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) != 4 || parts[0]+"/" != store.Root || parts[2]+"/" != markers {
		return ""
	}
	for _, name := range x.Others {
		if strings.EqualFold(name, parts[3]) {
			return name
		}
	}
	return ""
}

// collect reads the markers of the other mailstores that it has not read yet.
// A failure is kept until a later try succeeds: one that cannot look proves
// nothing.
func (x *exchange) collect(ctx context.Context) {
	objects, err := x.store.List(ctx, store.Root, maxMarkers)
	if ctx.Err() != nil {
		return // our own time is over
	}
	x.Failed = nil
	if err != nil {
		x.Failed = new(outcome(stepList, err))
	}
	for _, o := range objects {
		node := x.writer(o.Key)
		if node == "" || slices.ContainsFunc(x.Read, func(m marker) bool { return m.Key == o.Key }) {
			continue
		}
		text, err := x.get(ctx, o.Key, 0, -1, maxMarker)
		switch {
		case err == nil:
			x.missing = slices.DeleteFunc(x.missing, func(name string) bool { return name == node })
			x.Read = append(x.Read, marker{o.Key, hash(string(text))})
		case ctx.Err() == nil && !outcome(stepGet, err).missing():
			x.Failed = new(outcome(stepGet, err))
		}
	}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
