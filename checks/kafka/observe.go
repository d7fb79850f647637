package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"carbonio-check/checks"
)

const (
	// metadataLog is the topic of KRaft's own quorum.
	metadataLog = "__cluster_metadata"
)

// A broker is what one broker says of itself and of its cluster.
type broker struct {
	// Down is why it said nothing; the rest is empty then.
	Down    string   `json:"down,omitempty"`
	Cluster string   `json:"cluster,omitempty"` // of a broker that answers, never empty
	ID      int32    `json:"id"`                // -1: it does not tell
	KRaft   bool     `json:"kraft,omitempty"`
	Roles   string   `json:"roles,omitempty"` // process.roles
	Brokers []listed `json:"brokers,omitempty"`
	// Controller is who leads a cluster with ZooKeeper. With KRaft it is any
	// broker, at random (KRaftMetadataCache): the quorum knows.
	Controller int32   `json:"controller"`
	Topics     []topic `json:"topics,omitempty"`
	// Defaults are the broker's settings for new topics, as it prints them.
	Defaults map[string]string `json:"defaults,omitempty"`
	// NoConfig is why the settings and the broker's own id are not known.
	NoConfig string  `json:"no_config,omitempty"`
	Quorum   *quorum `json:"quorum,omitempty"`
	NoQuorum string  `json:"no_quorum,omitempty"` // why there is none
	// Lost: the broker asked the controller on our behalf, and got no answer.
	Lost bool `json:"lost,omitempty"`
	// Resolved is where the broker's advertised name leads from here.
	Resolved   []string `json:"resolved,omitempty"`
	Unresolved string   `json:"unresolved,omitempty"`
}

// A listed broker is one that is alive, as the cluster advertises it.
type listed struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
}

type topic struct {
	Name       string      `json:"name"`
	MinISR     int         `json:"min_isr,omitempty"` // 0: not known
	Partitions []partition `json:"partitions"`
}

type partition struct {
	ID       int32   `json:"id"`
	Leader   int32   `json:"leader"` // -1: none
	Replicas []int32 `json:"replicas"`
	ISR      []int32 `json:"isr"`
}

// A quorum is what the active controller says of those who vote for it.
type quorum struct {
	Leader int32   `json:"leader"` // -1: none
	Epoch  int32   `json:"epoch"`
	Voters []voter `json:"voters"`
}

// A voter keeps a copy of the metadata. Times are in ms, of the leader's clock;
// -1: not known.
type voter struct {
	ID       int32 `json:"id"`
	End      int64 `json:"end"`       // of its log
	Fetched  int64 `json:"fetched"`   // when it last asked for more
	CaughtUp int64 `json:"caught_up"` // when it last had everything
}

// Observe looks at one broker, over one connection.
func (Module) Observe(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	if t.Address == "" {
		return nil, checks.ErrNoAddress
	}
	ctx, cancel := checks.Share(ctx, 0.9) // to say in time who kept silent
	defer cancel()
	conn, err := host.Network.Dial(ctx, "tcp", t.Address)
	if err != nil {
		return down(ctx, err, "no answer from its port")
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var seen broker
	w, err := over(conn)
	if err == nil {
		seen, err = metadata(w)
	}
	if err != nil {
		return down(ctx, err, "it accepts the connection, and then keeps silent")
	}
	seen.askSelf(w, arg(t, argID))
	if seen.KRaft {
		configure, elect := seen.askTopics(w), seen.askQuorum(w) // both at once
		configure()
		elect(ctx)
	}
	seen.resolve(ctx, host.Network, t)
	if errors.Is(ctx.Err(), context.Canceled) {
		return seen, ctx.Err()
	}
	return seen, nil
}

// down words why a broker said nothing. An error that is ours, such as an
// interrupt or too many open files, says nothing of it and is returned.
func down(ctx context.Context, err error, silence string) (any, error) {
	var icmp *checks.RejectedError
	var timeout net.Error
	why := ""
	switch {
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, syscall.EMFILE):
		return nil, err
	case errors.As(err, &icmp):
		why = fmt.Sprintf("%s, says %s", icmp.Reason, icmp.By)
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "nothing listens on its port"
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		why = silence
	case errors.Is(err, errHungUp):
		why = err.Error() + ": it may want TLS or a login, or be no broker"
	default:
		why = err.Error()
	}
	return broker{Down: why, ID: -1, Controller: -1}, nil
}

func metadata(w *wire) (broker, error) {
	answer := kmsg.NewPtrMetadataResponse()
	if err := w.ask(kmsg.NewPtrMetadataRequest(), answer)(); err != nil { // of all topics
		return broker{}, err
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return broker{}, err
	}
	if answer.ClusterID == nil || *answer.ClusterID == "" {
		return broker{}, errors.New("it names no cluster")
	}
	seen := broker{Cluster: *answer.ClusterID, ID: -1, Controller: answer.ControllerID}
	for _, l := range answer.Brokers {
		seen.Brokers = append(seen.Brokers, listed{l.NodeID, l.Host, l.Port})
	}
	slices.SortFunc(seen.Brokers, func(a, b listed) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range answer.Topics {
		if t.Topic != nil {
			seen.Topics = append(seen.Topics, topic{Name: *t.Topic, Partitions: partitions(t.Partitions)})
		}
	}
	slices.SortFunc(seen.Topics, func(a, b topic) int { return cmp.Compare(a.Name, b.Name) })
	return seen, nil
}

func partitions(all []kmsg.MetadataResponseTopicPartition) []partition {
	var out []partition
	for _, p := range all {
		out = append(out, partition{p.Partition, p.Leader, p.Replicas, p.ISR})
	}
	slices.SortFunc(out, func(a, b partition) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// askSelf asks for the settings of every broker that may be this one: it
// refuses to speak for another, and so tells who it is.
func (s *broker) askSelf(w *wire, expected string) {
	var ids []string
	for _, l := range s.Brokers {
		ids = append(ids, strconv.Itoa(int(l.ID)))
	}
	if expected != "" && !slices.Contains(ids, expected) {
		ids = append(ids, expected)
	}
	var resources []kmsg.DescribeConfigsRequestResource
	for _, id := range ids {
		resources = append(resources, resource(kmsg.ConfigResourceTypeBroker, id, append(newTopics, processRoles)))
	}
	s.configure(w, resources)()
	if s.KRaft {
		return
	}
	for i, t := range s.Topics { // what they have unless it was changed
		setting := minISR
		if t.Name == transactionLog {
			setting = txnMinISR
		}
		s.Topics[i].MinISR, _ = strconv.Atoi(s.Defaults[setting]) // 0: not known
	}
}

// askTopics asks for the settings of all topics. Never ask without KRaft: a
// broker that has lost ZooKeeper would wait for it, each time with one more of
// its eight threads, until it answers nobody any more (seen with 3.1.1).
func (s *broker) askTopics(w *wire) (take func()) {
	var resources []kmsg.DescribeConfigsRequestResource
	for _, t := range s.Topics {
		resources = append(resources, resource(kmsg.ConfigResourceTypeTopic, t.Name, []string{minISR}))
	}
	return s.configure(w, resources)
}

// configure asks for settings, and returns what waits for them and takes them.
func (s *broker) configure(w *wire, resources []kmsg.DescribeConfigsRequestResource) (take func()) {
	request, answer := kmsg.NewPtrDescribeConfigsRequest(), kmsg.NewPtrDescribeConfigsResponse()
	request.Resources = resources
	wait := w.ask(request, answer)
	return func() {
		if err := wait(); err != nil {
			s.NoConfig = err.Error()
			return
		}
		for _, r := range answer.Resources {
			if err := kerr.ErrorForCode(r.ErrorCode); err == nil {
				s.take(r)
			} else if !errors.Is(err, kerr.InvalidRequest) { // that is: it is not this one
				s.NoConfig = err.Error()
			}
		}
	}
}

func resource(kind kmsg.ConfigResourceType, name string, keys []string) kmsg.DescribeConfigsRequestResource {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, keys
	return r
}

// take takes the settings of a topic, or of the broker itself.
func (s *broker) take(r kmsg.DescribeConfigsResponseResource) {
	settings := map[string]string{}
	for _, c := range r.Configs {
		if c.Value != nil {
			settings[c.Name] = *c.Value
		}
	}
	switch r.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		i, ok := slices.BinarySearchFunc(s.Topics, r.ResourceName, func(t topic, name string) int { return cmp.Compare(t.Name, name) })
		if ok {
			s.Topics[i].MinISR, _ = strconv.Atoi(settings[minISR]) // 0: not known
		}
	case kmsg.ConfigResourceTypeBroker:
		if id, err := strconv.ParseInt(r.ResourceName, 10, 32); err == nil {
			s.ID = int32(id)
		}
		s.Roles = settings[processRoles]
		s.KRaft = s.Roles != ""
		delete(settings, processRoles)
		s.Defaults = settings
	}
}

// askQuorum asks the active controller, which the broker passes the question on
// to, waiting for it as long as there is none. So it is asked last, and not
// waited for all the time that is left.
func (s *broker) askQuorum(w *wire) (take func(context.Context)) {
	request, answer := kmsg.NewPtrDescribeQuorumRequest(), kmsg.NewPtrDescribeQuorumResponse()
	request.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic:      metadataLog,
		Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	wait := w.ask(request, answer)
	return func(ctx context.Context) {
		half, cancel := checks.Share(ctx, 0.5)
		defer cancel()
		defer context.AfterFunc(half, func() { w.conn.Close() })()
		if err := wait(); err != nil {
			s.NoQuorum, s.Lost = err.Error(), half.Err() != nil && ctx.Err() == nil
			return
		}
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			s.NoQuorum, s.Lost = err.Error(), kerr.IsRetriable(err)
			return
		}
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				s.takeQuorum(p)
			}
		}
	}
}

func (s *broker) takeQuorum(p kmsg.DescribeQuorumResponseTopicPartition) {
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		s.NoQuorum, s.Lost = err.Error(), kerr.IsRetriable(err)
		return
	}
	q := &quorum{Leader: p.LeaderID, Epoch: p.LeaderEpoch}
	for _, v := range p.CurrentVoters {
		q.Voters = append(q.Voters, voter{v.ReplicaID, v.LogEndOffset, v.LastFetchTimestamp, v.LastCaughtUpTimestamp})
	}
	slices.SortFunc(q.Voters, func(a, b voter) int { return cmp.Compare(a.ID, b.ID) })
	s.Quorum = q
}

// resolve looks up the name that clients are told to connect to.
func (s *broker) resolve(ctx context.Context, network checks.Network, t checks.Target) {
	self, ok := s.self(t)
	if !ok {
		return
	}
	addresses, err := network.Lookup(ctx, self.Host)
	if err != nil {
		s.Unresolved = err.Error()
	}
	for _, a := range addresses {
		s.Resolved = append(s.Resolved, a.Unmap().String())
	}
}

// self is the broker's own entry: the one with its id, where that is known,
// else the one with the id that the inventory gives it, or with its name.
func (s *broker) self(t checks.Target) (listed, bool) {
	is := func(l listed) bool { return l.ID == s.ID }
	if s.ID < 0 {
		is = func(l listed) bool {
			return strconv.Itoa(int(l.ID)) == arg(t, argID) || arg(t, argID) == "" && strings.EqualFold(l.Host, t.Node)
		}
	}
	if i := slices.IndexFunc(s.Brokers, is); i >= 0 {
		return s.Brokers[i], true
	}
	return listed{}, false
}
