package kafka

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"carbonio-check/checks"
)

// A broker is what one broker says of itself and of its cluster.
type broker struct {
	// Contact is how the conversation ended where the broker did not describe
	// itself; the rest is empty then.
	Contact checks.Contact `json:"contact,omitzero"`
	Cluster string         `json:"cluster,omitempty"` // empty where it did not describe itself
	ID      int32          `json:"id,omitempty"`      // -1: unknown
	Roles   string         `json:"roles,omitempty"`   // process.roles; only with KRaft
	Brokers []listed       `json:"brokers,omitempty"`
	// Controller is the one of a cluster with ZooKeeper. With KRaft it is a random
	// broker (KRaftMetadataCache), and the quorum has the controller.
	Controller int32   `json:"controller,omitempty"`
	Topics     []topic `json:"topics,omitempty"`
	// Defaults are the broker's settings for new topics, as it prints them.
	Defaults map[string]string `json:"defaults,omitempty"`
	// ConfigUnseen is why the settings and the broker's own id are unknown.
	ConfigUnseen *checks.Unseen  `json:"config_unseen,omitempty"`
	Quorum       *metadataQuorum `json:"quorum,omitempty"`
	QuorumUnseen *checks.Unseen  `json:"quorum_unseen,omitempty"`
	// Lost: the broker asked the controller on our behalf, and got no response.
	Lost bool `json:"lost,omitempty"`
	// Resolved is what the broker's advertised name resolves to here.
	Resolved   []string       `json:"resolved,omitempty"`
	Unresolved *checks.Unseen `json:"unresolved,omitempty"`
}

func (b broker) kraft() bool { return b.Roles != "" }

// A listed broker is one that is alive, as the cluster advertises it.
type listed struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
}

type topic struct {
	Name       string      `json:"name"`
	MinISR     int         `json:"min_isr,omitempty"` // 0: unknown
	Partitions []partition `json:"partitions"`
}

type partition struct {
	ID       int32   `json:"id"`
	Leader   int32   `json:"leader"` // -1: none
	Replicas []int32 `json:"replicas"`
	ISR      []int32 `json:"isr"`
}

// A metadataQuorum is what the active controller says of the voters.
type metadataQuorum struct {
	Leader int32   `json:"leader"` // -1: none
	Epoch  int32   `json:"epoch"`
	Voters []voter `json:"voters"`
}

// A voter keeps a copy of the metadata. Times are in ms, of the leader's clock;
// -1: unknown.
type voter struct {
	ID       int32 `json:"id"`
	End      int64 `json:"end"`       // the offset of its log's end
	Fetched  int64 `json:"fetched"`   // when it last fetched
	CaughtUp int64 `json:"caught_up"` // when it last had everything
}

// observe looks at one broker, over one connection.
func observe(ctx context.Context, host checks.Host, t checks.Target[expected]) (broker, error) {
	if t.Address == "" {
		return broker{}, checks.ErrNoAddress
	}
	ctx, cancel := checks.Share(ctx, 0.9) // to say in time that it did not respond
	defer cancel()
	conn, err := host.Network.Dial(ctx, "tcp", t.Address)
	if err != nil {
		c, err := checks.Dialled(ctx, err)
		return broker{Contact: c}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var seen broker
	w, err := negotiate(conn)
	if err == nil {
		seen, err = metadata(w)
	}
	if err != nil {
		return undescribed(ctx, err)
	}
	seen.askSelf(w, t.Ask.ID)
	if seen.kraft() {
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

// undescribed is a broker that accepted the connection and did not describe itself.
func undescribed(ctx context.Context, err error) (broker, error) {
	_, failed := errors.AsType[*kerr.Error](err)
	_, refused := errors.AsType[refusal](err)
	switch {
	case errors.Is(err, errStranger):
		return broker{Contact: checks.Contact{State: checks.Stranger, Words: "Kafka broker: " + err.Error()}}, nil
	case failed, refused:
		return broker{Contact: checks.Contact{State: checks.Open, Words: err.Error()}}, nil
	}
	c, err := checks.Spoken(ctx, err)
	return broker{Contact: c}, err
}

// unseen is why one request of several got no answer; nil when it did.
func unseen(err error) *checks.Unseen {
	if err == nil {
		return nil
	}
	why := checks.Why(err)
	if errors.Is(err, kerr.ClusterAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) {
		why.Code = checks.Denied
	}
	return &why
}

func metadata(w *wire) (broker, error) {
	answer := kmsg.NewPtrMetadataResponse()
	if err := w.ask(kmsg.NewPtrMetadataRequest(), answer)(); err != nil { // of all topics
		return broker{}, err
	}
	if answer.ClusterID == nil || *answer.ClusterID == "" {
		return broker{}, refusal("it does not report a cluster ID")
	}
	seen := broker{Cluster: *answer.ClusterID, ID: -1, Controller: answer.ControllerID}
	for _, l := range answer.Brokers {
		seen.Brokers = append(seen.Brokers, listed{l.NodeID, l.Host, l.Port})
	}
	slices.SortFunc(seen.Brokers, func(a, b listed) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range answer.Topics {
		one := topic{Name: *t.Topic} // never null in this version
		for _, p := range t.Partitions {
			one.Partitions = append(one.Partitions, partition{p.Partition, p.Leader, p.Replicas, p.ISR})
		}
		slices.SortFunc(one.Partitions, func(a, b partition) int { return cmp.Compare(a.ID, b.ID) })
		seen.Topics = append(seen.Topics, one)
	}
	slices.SortFunc(seen.Topics, func(a, b topic) int { return cmp.Compare(a.Name, b.Name) })
	return seen, nil
}

// askSelf asks for the settings of every broker that may be this one. It rejects
// those of others, and so reveals its own id.
func (b *broker) askSelf(w *wire, expected string) {
	var ids []string
	for _, l := range b.Brokers {
		ids = append(ids, strconv.Itoa(int(l.ID)))
	}
	if expected != "" && !slices.Contains(ids, expected) {
		ids = append(ids, expected)
	}
	found, err := ask(w, kmsg.ConfigResourceTypeBroker, ids, []string{defaultRF, minISR, txnRF, txnMinISR, processRoles})()
	b.ConfigUnseen = unseen(err)
	for id, settings := range found {
		if n, err := strconv.ParseInt(id, 10, 32); err == nil {
			b.ID = int32(n)
		}
		b.Roles = settings[processRoles]
		delete(settings, processRoles)
		b.Defaults = settings
	}
	if b.ID < 0 {
		b.ConfigUnseen = cmp.Or(b.ConfigUnseen, unseen(refusal("the cluster does not list its ID")))
	}
	if b.kraft() {
		return
	}
	for i, t := range b.Topics { // unless they were changed
		setting := minISR
		if t.Name == transactionLog {
			setting = txnMinISR
		}
		b.Topics[i].MinISR, _ = strconv.Atoi(b.Defaults[setting]) // 0: unknown
	}
}

// askTopics asks for the settings of all topics. It must not be used without
// KRaft: a broker that has lost ZooKeeper blocks one of its eight threads on each
// such request, until it responds to nobody (seen with 3.1.1).
func (b *broker) askTopics(w *wire) (take func()) {
	var names []string
	for _, t := range b.Topics {
		names = append(names, t.Name)
	}
	wait := ask(w, kmsg.ConfigResourceTypeTopic, names, []string{minISR})
	return func() {
		found, err := wait()
		b.ConfigUnseen = cmp.Or(unseen(err), b.ConfigUnseen)
		for i, t := range b.Topics {
			b.Topics[i].MinISR, _ = strconv.Atoi(found[t.Name][minISR]) // 0: unknown
		}
	}
}

// ask requests settings of brokers or topics, and returns a function that waits
// for them.
func ask(w *wire, kind kmsg.ConfigResourceType, names, settings []string) (wait func() (map[string]map[string]string, error)) {
	request, answer := kmsg.NewPtrDescribeConfigsRequest(), kmsg.NewPtrDescribeConfigsResponse()
	for _, name := range names {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, settings
		request.Resources = append(request.Resources, r)
	}
	answered := w.ask(request, answer)
	return func() (map[string]map[string]string, error) {
		found, err := map[string]map[string]string{}, answered()
		for _, r := range answer.Resources {
			refused := kerr.ErrorForCode(r.ErrorCode)
			switch {
			case errors.Is(refused, kerr.InvalidRequest): // another broker's
				continue
			case refused != nil:
				err = refused
				continue
			}
			found[r.ResourceName] = map[string]string{}
			for _, c := range r.Configs {
				if c.Value != nil {
					found[r.ResourceName][c.Name] = *c.Value
				}
			}
		}
		return found, err
	}
}

// askQuorum asks the active controller through the broker, which waits while
// there is none. So it is asked last, and given half of the time that is left.
func (b *broker) askQuorum(w *wire) (take func(context.Context)) {
	request, answer := kmsg.NewPtrDescribeQuorumRequest(), kmsg.NewPtrDescribeQuorumResponse()
	request.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic: metadataLog, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	wait := w.ask(request, answer)
	return func(ctx context.Context) {
		half, cancel := checks.Share(ctx, 0.5)
		defer cancel()
		defer context.AfterFunc(half, func() { w.conn.Close() })()
		err := wait()
		b.Lost = err != nil && half.Err() != nil && ctx.Err() == nil
		if err == nil {
			b.Quorum, err = described(answer)
			b.Lost = kerr.IsRetriable(err)
		}
		b.QuorumUnseen = unseen(err)
	}
}

// described reads an answer, which holds one partition unless it is an error.
func described(answer *kmsg.DescribeQuorumResponse) (q *metadataQuorum, err error) {
	err = kerr.ErrorForCode(answer.ErrorCode)
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			err = cmp.Or(err, kerr.ErrorForCode(p.ErrorCode))
			q = &metadataQuorum{Leader: p.LeaderID, Epoch: p.LeaderEpoch}
			for _, v := range p.CurrentVoters {
				q.Voters = append(q.Voters, voter{v.ReplicaID, v.LogEndOffset, v.LastFetchTimestamp, v.LastCaughtUpTimestamp})
			}
			slices.SortFunc(q.Voters, func(a, b voter) int { return cmp.Compare(a.ID, b.ID) })
		}
	}
	switch {
	case err != nil:
		return nil, err
	case q == nil:
		return nil, refusal("the response is empty")
	}
	return q, nil
}

// resolve looks up the name that clients are told to connect to.
func (b *broker) resolve(ctx context.Context, network checks.Network, t checks.Target[expected]) {
	self := b.self(t)
	if self == nil {
		return
	}
	addresses, err := network.Lookup(ctx, self.Host)
	b.Unresolved = unseen(err)
	for _, a := range addresses {
		b.Resolved = append(b.Resolved, a.Unmap().String())
	}
}

// self is the broker's own entry: the one with its id, where that is known, else
// with its id in the inventory, else with its name; nil without one.
func (b broker) self(t checks.Target[expected]) *listed {
	i := slices.IndexFunc(b.Brokers, func(l listed) bool {
		switch {
		case b.ID >= 0:
			return l.ID == b.ID
		case t.Ask.ID != "":
			return strconv.Itoa(int(l.ID)) == t.Ask.ID
		}
		return strings.EqualFold(l.Host, t.Node)
	})
	if i < 0 {
		return nil
	}
	return &b.Brokers[i]
}
