package s3

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/s3bench/store"
)

// Two mailstores share a bucket when one reads what the other wrote. But what a
// run writes it removes, so the mailstores have to meet: each writes a note that
// names it, and reads the notes of the others while they stand. Where they did
// not look at the same time, what else the bucket holds tells whether it is the
// same one.

const (
	// meetingTime is how long a mailstore waits for the others to write. Ansible
	// starts the same command everywhere within a second or two.
	meetingTime = 5 * time.Second
	meetingPoll = 250 * time.Millisecond
	// lingering is how long a note stays once all the others were read: so the
	// last one to look still finds it.
	lingering = 4 * meetingPoll
	// maxNotes bounds what is read of other runs.
	maxNotes = 1000
	// maxNote bounds a note, in bytes.
	maxNote = 1 << 10
	// sampled is how many of the bucket's first objects stand for its content.
	sampled = 100
	notes   = "shared/"
)

// meeting is what one mailstore saw of the others in a bucket.
type meeting struct {
	Unopened string `json:"unopened,omitempty"`
	Peers    int    `json:"peers"` // whom it waited for
	Failed   *step  `json:"failed,omitempty"`
	Refused  string `json:"refused,omitempty"`
	// Own is the note that it wrote, and from when to when it stood, by the
	// server's clock, which is one for all.
	Own     *note     `json:"own,omitempty"`
	Written time.Time `json:"written,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Read    []note    `json:"read,omitempty"` // the notes of others, by key
	// Sample are fingerprints of the first objects that are not ours.
	Sample []string `json:"sample,omitempty"`
	Left   []string `json:"left,omitempty"`
}

// A note is an object with a node's name, which another mailstore reads.
type note struct {
	Key  string `json:"key"`
	Hash string `json:"hash"` // of its content
}

// A visit is a meeting under way.
type visit struct {
	meeting
	walk
	self     string
	peers    []string
	patience time.Duration
}

func observeShared(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	self, peers := target.Args[1], target.Args[2:]
	if len(peers) == 0 {
		return meeting{}, nil // nobody to meet
	}
	s, err := open(host, bucketOf(target))
	if err != nil {
		return meeting{Unopened: err.Error()}, nil
	}
	defer s.Close()
	v := &visit{
		walk: walk{store: s, room: s.Namespace(store.NewRunID())},
		self: self, peers: peers, patience: patience(ctx),
	}
	v.meeting.Peers = len(peers)
	writable := v.enter(ctx)
	v.meeting.Refused = v.walk.Refused
	if first := v.Steps[0]; !first.ok() {
		v.Failed = &first // who may not list can see nobody
		return v.meeting, ctx.Err()
	}
	if err := v.sample(ctx); err != nil {
		v.fail(stepList, err)
	} else if writable {
		v.cleaned(ctx, &v.meeting.Left, v.meet)
	}
	return v.meeting, ctx.Err()
}

// patience is how long to wait for the others: not more than half of the time
// that is left, for there are notes to be read and removed.
func patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(meetingTime, time.Until(deadline)/2)
	}
	return meetingTime
}

// meet writes a note, and reads those of the others until all were there.
func (v *visit) meet(ctx context.Context) {
	text := v.self + " " + hex.EncodeToString(randomBytes(16))
	name := notes + strings.ToLower(v.self)
	info, err := v.room.Put(ctx, name, strings.NewReader(text), int64(len(text)))
	if err != nil {
		v.fail(stepPut, err)
		return
	}
	v.Own = &note{Key: v.room.Key(name), Hash: hash(text)}
	v.Written = info.Server
	began := time.Now()
	v.wait(ctx)
	v.Until = v.Written.Add(time.Since(began))
	slices.SortFunc(v.Read, func(a, b note) int { return cmp.Compare(a.Key, b.Key) })
}

func (v *visit) fail(name string, err error) {
	s := outcome(name, err)
	v.Failed = &s
}

// sample takes fingerprints of what the bucket holds besides our own objects.
func (v *visit) sample(ctx context.Context) error {
	objects, err := v.store.List(ctx, "", sampled+maxNotes)
	for _, o := range objects {
		if strings.HasPrefix(o.Key, store.Root) {
			continue
		}
		if len(v.Sample) == sampled {
			break
		}
		v.Sample = append(v.Sample, hash(o.Key + "\x00" + o.ETag)[:12])
	}
	return err
}

// wait looks for notes again and again, until those of all the others were read
// and had time to be read themselves, or the time is over.
func (v *visit) wait(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	poll := time.NewTicker(meetingPoll)
	defer poll.Stop()
	seen := map[string]bool{}
	left := lingering
	for {
		v.collect(ctx, seen)
		if v.complete() {
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

// complete says that a note of every other mailstore was read.
func (v *visit) complete() bool {
	for _, p := range v.peers {
		if !slices.ContainsFunc(v.Read, func(n note) bool { return noteOf(n.Key) == strings.ToLower(p) }) {
			return false
		}
	}
	return true
}

// noteOf is the node whose note a key is: "carbonio-check/<run>/shared/<node>".
func noteOf(key string) string {
	parts := strings.SplitN(key, "/", 4)
	if len(parts) != 4 || parts[0]+"/" != store.Root || parts[2]+"/" != notes {
		return ""
	}
	return parts[3]
}

// collect reads the notes of the other mailstores that it has not read yet.
// What fails is kept until it succeeds: who cannot look proves nothing.
func (v *visit) collect(ctx context.Context, seen map[string]bool) {
	objects, err := v.store.List(ctx, store.Root, maxNotes)
	if ctx.Err() != nil {
		return // our own time is over
	}
	v.Failed = nil
	if err != nil {
		v.fail(stepList, err)
	}
	for _, o := range objects {
		if seen[o.Key] || !v.ofPeer(o.Key) {
			continue
		}
		text, err := v.text(ctx, o.Key)
		switch {
		case err == nil:
			seen[o.Key] = true
			v.Read = append(v.Read, note{o.Key, hash(text)})
		case ctx.Err() == nil && !missing(err):
			v.fail(stepGet, err)
		}
	}
}

// ofPeer says whether a key is the note of another mailstore.
func (v *visit) ofPeer(key string) bool {
	node := noteOf(key)
	return slices.ContainsFunc(v.peers, func(p string) bool { return strings.EqualFold(p, node) })
}

func (v *visit) text(ctx context.Context, key string) (string, error) {
	r, _, err := v.store.Get(ctx, key, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxNote))
	return string(b), err
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
