package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type target = checks.Target[expected]

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

// scope is a platform of three brokers, of which we stand on the first.
func scope() checks.Scope {
	var nodes []platform.Node
	group := platform.Group{Name: string(platform.Kafka)}
	for i := range 3 {
		name := fmt.Sprintf("svc%d.example.com", i+1)
		nodes = append(nodes, checkstest.Node(name, fmt.Sprintf("10.0.0.%d", 11+i), platform.Kafka))
		group.Hosts = append(group.Hosts, platform.Host{Name: name, Vars: []platform.Var{{Key: "broker_id", Value: fmt.Sprint(i)}}})
	}
	s := checkstest.Scope(nodes...)
	s.Topology.Inventory = &platform.Inventory{Groups: []platform.Group{group}}
	return s
}

func TestTargets(t *testing.T) {
	s := scope()
	s.Topology.Nodes[2].Address = netip.Addr{}
	s.Topology.Nodes = append(s.Topology.Nodes, checkstest.Node("mbox1.example.com", "10.0.0.20", platform.Mailstore))
	got, err := targets(s, checks.Host{})
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, target{Name: "svc1.example.com", Node: "svc1.example.com", Address: "10.0.0.11:9092", Ask: expected{"0"}}, got[0])
	require.Empty(t, got[2].Address)
	s.Topology.Inventory = nil
	got, err = targets(s, checks.Host{})
	require.NoError(t, err)
	require.Empty(t, got[0].Ask.ID)
}

// roles is what process.roles says of Carbonio's brokers.
const roles = "broker,controller"

// double is a cluster of three brokers on loopback that advertises the names of
// the platform.
func double(t testing.TB, roles string) (*kfake.Cluster, checks.Host) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.ClusterID("double"), kfake.SeedTopics(3, "mail"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	addresses := cluster.ListenAddrs()
	always := func(key int16, answer func(kmsg.Request) kmsg.Response) {
		cluster.ControlKey(key, func(r kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			return answer(r), nil, true
		})
	}
	always(int16(kmsg.Metadata), func(r kmsg.Request) kmsg.Response { return layout(r.(*kmsg.MetadataRequest)) })
	always(int16(kmsg.DescribeConfigs), func(r kmsg.Request) kmsg.Response {
		return settings(r.(*kmsg.DescribeConfigsRequest), fmt.Sprint(cluster.CurrentNode()), roles)
	})
	return cluster, hostOf(func(address string) string {
		i := int(netip.MustParseAddrPort(address).Addr().As4()[3]) - 11
		return addresses[i]
	})
}

// layout is what each broker says of the cluster; the controller is any broker.
func layout(r *kmsg.MetadataRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.MetadataResponse)
	answer.ClusterID = new("double")
	for i := range int32(3) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = 2-i, fmt.Sprintf("svc%d.example.com", 3-i), 9092
		answer.Brokers = append(answer.Brokers, b)
	}
	topic := kmsg.NewMetadataResponseTopic()
	topic.Topic = new("mail")
	for i := range int32(3) {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader = 2-i, i
		p.Replicas, p.ISR = []int32{i, (i + 1) % 3}, []int32{i, (i + 1) % 3}
		topic.Partitions = append(topic.Partitions, p)
	}
	answer.Topics = append(answer.Topics, topic)
	return answer
}

// settings are those of topics, and of the broker itself but of no other.
func settings(r *kmsg.DescribeConfigsRequest, self, roles string) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeConfigsResponse)
	values := map[string]string{
		"min.insync.replicas": "1", "process.roles": roles, "default.replication.factor": "2",
		"transaction.state.log.replication.factor": "2", "transaction.state.log.min.isr": "2",
	}
	for _, asked := range r.Resources {
		if asked.ResourceType == kmsg.ConfigResourceTypeTopic && roles == "" {
			panic("this would block a thread of a broker without ZooKeeper")
		}
		given := kmsg.NewDescribeConfigsResponseResource()
		given.ResourceType, given.ResourceName = asked.ResourceType, asked.ResourceName
		if asked.ResourceType == kmsg.ConfigResourceTypeBroker && asked.ResourceName != self {
			given.ErrorCode = kerr.InvalidRequest.Code
		} else {
			for _, name := range asked.ConfigNames {
				c := kmsg.NewDescribeConfigsResponseResourceConfig()
				c.Name, c.Value = name, new(values[name])
				given.Configs = append(given.Configs, c)
			}
		}
		answer.Resources = append(answer.Resources, given)
	}
	return answer
}

// hostOf is a host that dials where the addresses of the platform are.
func hostOf(at func(address string) string) checks.Host {
	return checks.Host{Network: checkstest.Network{
		DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, at(address))
		},
		LookupFunc: func(ctx context.Context, name string) ([]netip.Addr, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if name == "svc2.example.com" {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("10.0.0.99")}, nil
		},
	}}
}

func TestObserve(t *testing.T) {
	_, host := double(t, roles)
	seen := checkstest.Observe(t, Module, scope(), host)
	require.Len(t, seen, 3)
	for _, o := range seen {
		require.Nil(t, o.Unseen)
	}
	// The double knows no DescribeQuorum: that is no lost quorum.
	require.JSONEq(t, `{"cluster": "double", "id": 1, "roles": "broker,controller", "controller": -1,
		"brokers": [{"id": 0, "host": "svc1.example.com", "port": 9092}, {"id": 1, "host": "svc2.example.com", "port": 9092}, {"id": 2, "host": "svc3.example.com", "port": 9092}],
		"topics": [{"name": "mail", "min_isr": 1, "partitions": [
			{"id": 0, "leader": 2, "replicas": [2, 0], "isr": [2, 0]}, {"id": 1, "leader": 1, "replicas": [1, 2], "isr": [1, 2]}, {"id": 2, "leader": 0, "replicas": [0, 1], "isr": [0, 1]}]}],
		"defaults": {"min.insync.replicas": "1", "default.replication.factor": "2", "transaction.state.log.replication.factor": "2", "transaction.state.log.min.isr": "2"},
		"quorum_unseen": {"code": "error", "words": "it supports no version of DescribeQuorum that carbonio-check knows"},
		"unresolved": {"code": "error", "words": "no such host"}}`, string(seen[1].Data))
}

// With ZooKeeper topics are not asked for, and have what the broker gives them.
func TestObserveZooKeeper(t *testing.T) {
	_, host := double(t, "")
	data := first(t, host)
	require.Nil(t, data["roles"])
	require.Nil(t, data["quorum_unseen"])
	require.Nil(t, data["id"], "0")
	require.Nil(t, data["config_unseen"])
	require.Equal(t, 1.0, data["topics"].([]any)[0].(map[string]any)["min_isr"])
}

// votes makes the double answer what it does not know by itself.
func votes(cluster *kfake.Cluster, answer func(*kmsg.DescribeQuorumRequest) (kmsg.Response, error)) {
	cluster.ControlKey(int16(kmsg.ApiVersions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		known := r.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key, last := range map[kmsg.Key]int16{kmsg.Metadata: 12, kmsg.ApiVersions: 3, kmsg.DescribeConfigs: 4, kmsg.DescribeQuorum: 2} {
			k := kmsg.NewApiVersionsResponseApiKey()
			k.ApiKey, k.MaxVersion = int16(key), last
			known.ApiKeys = append(known.ApiKeys, k)
		}
		return known, nil, true
	})
	cluster.ControlKey(int16(kmsg.DescribeQuorum), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		given, err := answer(r.(*kmsg.DescribeQuorumRequest))
		return given, err, true
	})
}

// ballot is an answer of the active controller.
func ballot(r *kmsg.DescribeQuorumRequest, code int16) *kmsg.DescribeQuorumResponse {
	answer := r.ResponseKind().(*kmsg.DescribeQuorumResponse)
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.ErrorCode, p.LeaderID, p.LeaderEpoch = code, 1, 7
	for i := range int32(3) {
		v := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		v.ReplicaID, v.LogEndOffset, v.LastFetchTimestamp, v.LastCaughtUpTimestamp = 2-i, 100, 5000, 4900
		p.CurrentVoters = append(p.CurrentVoters, v)
	}
	topic := kmsg.NewDescribeQuorumResponseTopic()
	topic.Topic = r.Topics[0].Topic
	topic.Partitions = append(topic.Partitions, p)
	answer.Topics = append(answer.Topics, topic)
	return answer
}

// first is what the first broker was seen to say.
func first(t *testing.T, host checks.Host) map[string]any {
	t.Helper()
	s := scope()
	s.Topology.Nodes = s.Topology.Nodes[:1]
	seen := checkstest.Observe(t, Module, s, host)
	require.Nil(t, seen[0].Unseen)
	var data map[string]any
	require.NoError(t, json.Unmarshal(seen[0].Data, &data))
	return data
}

func TestObserveQuorum(t *testing.T) {
	t.Run("healthy", func(t *testing.T) {
		cluster, host := double(t, roles)
		votes(cluster, func(r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) { return ballot(r, 0), nil })
		data := first(t, host)
		require.Equal(t, map[string]any{"leader": 1.0, "epoch": 7.0, "voters": []any{
			map[string]any{"id": 0.0, "end": 100.0, "fetched": 5000.0, "caught_up": 4900.0},
			map[string]any{"id": 1.0, "end": 100.0, "fetched": 5000.0, "caught_up": 4900.0},
			map[string]any{"id": 2.0, "end": 100.0, "fetched": 5000.0, "caught_up": 4900.0},
		}}, data["quorum"])
	})
	for name, c := range map[string]struct {
		answer func(*kmsg.DescribeQuorumRequest) (kmsg.Response, error)
		lost   any
		code   checks.Code
		why    string
	}{
		"refused": {func(r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) {
			return ballot(r, kerr.ClusterAuthorizationFailed.Code), nil
		}, nil, checks.Denied, "CLUSTER_AUTHORIZATION_FAILED"},
		"no leader": {func(r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) {
			return ballot(r, kerr.NotLeaderForPartition.Code), nil
		}, true, checks.Failed, "NOT_LEADER"},
		"hung up":     {func(*kmsg.DescribeQuorumRequest) (kmsg.Response, error) { return nil, io.EOF }, nil, checks.Failed, "closes the connection"},
		"no answer":   {func(*kmsg.DescribeQuorumRequest) (kmsg.Response, error) { return nil, nil }, true, checks.TimedOut, ""},
		"not a topic": {func(r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) { return r.ResponseKind(), nil }, nil, checks.Failed, "the response is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, host := double(t, roles)
			votes(cluster, c.answer)
			data := first(t, host)
			require.Nil(t, data["quorum"])
			require.Equal(t, c.lost, data["lost"])
			why := data["quorum_unseen"].(map[string]any)
			require.Equal(t, string(c.code), why["code"])
			if c.why != "" {
				require.Contains(t, why["words"], c.why)
			}
			require.Equal(t, roles, data["roles"], "what was seen before stays")
			require.NotNil(t, data["resolved"], "time is left for what comes after")
		})
	}
}

// serve answers connections on loopback with f, and returns a host that dials it.
func serve(t *testing.T, f func(net.Conn)) checks.Host {
	t.Helper()
	address := checkstest.Serve(t, f)
	return hostOf(func(string) string { return address })
}

// drain reads until the other side is gone.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// script answers one request after the other, and the last one for ever.
func script(answers ...[]byte) func(net.Conn) {
	return func(c net.Conn) {
		for number := uint32(1); ; number++ {
			var size uint32
			if binary.Read(c, binary.BigEndian, &size) != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(size)); err != nil {
				return
			}
			answer := answers[min(int(number), len(answers))-1]
			if answer == nil {
				return
			}
			message := binary.BigEndian.AppendUint32(nil, uint32(len(answer)+4))
			message = binary.BigEndian.AppendUint32(message, number)
			c.Write(append(message, answer...))
		}
	}
}

// speaks is the answer of a broker that knows so many versions of everything.
func speaks(first, last int16) []byte {
	answer := kmsg.NewPtrApiVersionsResponse()
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.DescribeConfigs, kmsg.DescribeQuorum} {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = int16(key), first, last
		answer.ApiKeys = append(answer.ApiKeys, k)
	}
	return answer.AppendTo(nil)
}

// bodies are what a healthy broker of the double answers: ApiVersions, Metadata,
// its own settings, and those of its topics.
func bodies() [][]byte {
	write := func(version int16, r kmsg.Response) []byte {
		r.SetVersion(version)
		return r.AppendTo(nil)
	}
	configs := func(kind kmsg.ConfigResourceType, name, setting string) kmsg.Response {
		r := kmsg.NewPtrDescribeConfigsRequest()
		r.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: []string{setting}}}
		return settings(r, "0", roles)
	}
	return [][]byte{
		speaks(0, 20), write(8, layout(kmsg.NewPtrMetadataRequest())),
		write(3, configs(kmsg.ConfigResourceTypeBroker, "0", "process.roles")), write(3, configs(kmsg.ConfigResourceTypeTopic, "mail", "min.insync.replicas")),
	}
}

func TestHostileBrokers(t *testing.T) {
	request := make([]byte, 1<<10)
	claim := func(size int32) func(net.Conn) {
		return func(c net.Conn) { c.Read(request); binary.Write(c, binary.BigEndian, size); drain(c) }
	}
	healthy := bodies()
	endless := append(bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 4), 0) // tags without end
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"silent":           {drain, `"state":"mute"`},
		"hangs up":         {func(net.Conn) {}, `"state":"hung-up"`},
		"half":             {func(c net.Conn) { c.Read(request); c.Write([]byte{0, 0, 1}) }, `"state":"hung-up"`},
		"HTTP":             {func(c net.Conn) { c.Read(request); io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "its response claims to have"},
		"TLS":              {func(c net.Conn) { c.Read(request); c.Write([]byte{0x15, 3, 3, 0, 2, 2, 10}) }, "may require TLS"},
		"90 MiB":           {claim(90 << 20), "its response claims to have"},
		"2 GiB":            {claim(1<<31 - 1), "its response claims to have"},
		"less than none":   {claim(-1), "its response claims to have"},
		"drip-feed":        {drip, `"state":"mute"`},
		"another question": {func(c net.Conn) { c.Read(request); c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 9}); drain(c) }, "it responds to request 9"},
		"garbled":          {script([]byte("SSH-2.0-OpenSSH_9.6")), "malformed"},
		"garbled later":    {script(healthy[0], endless), "malformed"},
		"nothing in it":    {script(healthy[0], nil), `"state":"hung-up"`},
		"too old":          {script(speaks(0, 7)), "it supports no version of Metadata"},
		"too new":          {script(speaks(9, 20)), "it supports no version of Metadata"},
		"knows nothing":    {script([]byte{0, 0, 0, 0, 0, 0}), "it supports no version of Metadata"},
		"no settings":      {script(healthy[0], healthy[1], endless), `"config_unseen":{"code":"error","words":"its response is malformed`},
		"gone by then":     {script(healthy[0], healthy[1], nil), `"config_unseen":{"code":"error","words":"it closes the connection`},
		"no quorum":        {script(append(healthy, endless)...), `"quorum_unseen":{"code":"error","words":"its response is malformed`},
		"gone at the end":  {script(append(healthy, nil)...), `"min_isr":1`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			data, err := observe(ctx, serve(t, c.serve), target{Node: "svc1.example.com", Address: "10.0.0.11:9092"})
			require.NoError(t, err)
			require.NoError(t, ctx.Err(), "in time to tell")
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
			text, err := json.Marshal(data)
			require.NoError(t, err)
			require.Contains(t, string(text), c.want)
			require.NotContains(t, string(text), "127.0.0.1", "nor the port it came from")
		})
	}
}

// drip claims a megabyte, and sends a byte of it now and then.
func drip(c net.Conn) {
	c.Read(make([]byte, 1<<10))
	binary.Write(c, binary.BigEndian, int32(1<<20))
	for {
		if _, err := c.Write([]byte{0}); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Something that speaks the protocol, and is no cluster.
func TestNoCluster(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		return r.ResponseKind(), nil, true
	})
	data := first(t, hostOf(func(string) string { return cluster.ListenAddrs()[0] }))
	require.Equal(t, map[string]any{"state": "open", "words": "it does not report a cluster ID"}, data["contact"])
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	data := first(t, hostOf(func(string) string { return l.Addr().String() }))
	require.Equal(t, map[string]any{"state": "refused"}, data["contact"])
}

// An interrupt says nothing of the quorum either.
func TestInterruptedQuorum(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cluster, host := double(t, roles)
	votes(cluster, func(*kmsg.DescribeQuorumRequest) (kmsg.Response, error) { cancel(); return nil, nil })
	data, err := observe(ctx, host, target{Address: "10.0.0.11:9092", Ask: expected{"0"}})
	require.ErrorIs(t, err, context.Canceled)
	text, err := json.Marshal(data)
	require.NoError(t, err)
	require.Contains(t, string(text), `"roles":"broker,controller"`)
	require.NotContains(t, string(text), `"lost"`)
}

// An interrupt says nothing of the broker.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host := serve(t, func(c net.Conn) { cancel(); drain(c) })
	_, err := observe(ctx, host, target{Address: "10.0.0.11:9092"})
	require.Error(t, err)
	_, err = observe(t.Context(), host, target{})
	require.ErrorIs(t, err, checks.ErrNoAddress)
}

// What a cluster is made of: KRaft needs a majority, each partition one of its
// copies in sync, transactions two. Of what was not seen nothing is claimed.
func TestClusters(t *testing.T) {
	nodes := []string{"svc1.example.com", "svc2.example.com", "svc3.example.com"}
	pairs := [][]string{{nodes[0], nodes[1]}, {nodes[1], nodes[2]}, {nodes[0], nodes[2]}}
	left := [][]string{nodes[:2], {nodes[1]}, {nodes[0]}}
	kafka := func(needs int, able, unseen []string, together [][]string, rests ...string) checks.Cluster {
		return checks.Cluster{Service: "Kafka", Able: able, Unseen: unseen, Needs: needs, Together: together, Least: 1, Rests: rests}
	}
	log := func(able, unseen []string, together [][]string, least int) checks.Cluster {
		return checks.Cluster{Service: "Kafka transactions", Able: able, Unseen: unseen, Needs: 1, Together: together, Least: least, Rests: []string{"Kafka"}}
	}
	for name, want := range map[string][]checks.Cluster{
		"healthy":        {kafka(2, nodes, nil, pairs), log(nodes, nil, pairs, 2)},
		"broker_down":    {kafka(2, nodes[:2], nil, left), log(nodes[:2], nil, left, 2)},
		"zookeeper_25.6": {kafka(1, nodes, nil, pairs, "ZooKeeper"), log(nodes, nil, pairs, 2)},
		"no_topics":      {kafka(2, nodes, nil, nil)},
		"no_address":     {kafka(2, nil, nodes, nil), log(nil, nodes, nil, 1)},
		"all_down":       {kafka(2, nil, nil, nil), log(nil, nil, nil, 1)},
		"quorum_unseen":  {kafka(2, nil, nodes, pairs), log(nil, nodes, pairs, 2)},
		"hidden_topics":  {kafka(2, nil, nodes, nil), log(nil, nodes, nil, 1)},
		"stranger":       {kafka(2, nodes[:2], nodes[2:], pairs), log(nodes[:2], nodes[2:], pairs, 2)},
		"min_isr":        {kafka(2, nodes, nil, nil), {Service: "Kafka topics with min.insync.replicas=2", Able: nodes, Needs: 1, Together: pairs, Least: 2, Rests: []string{"Kafka"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := checkstest.ReadCase(t, Module, name)
			_, got := judge(c.Scope, checks.NewRecord(c.Seen))
			require.Len(t, got, len(want))
			for i, w := range want {
				require.ElementsMatch(t, w.Together, got[i].Together)
				require.ElementsMatch(t, w.Able, got[i].Able)
				require.ElementsMatch(t, w.Unseen, got[i].Unseen)
				w.Together, w.Able, w.Unseen = got[i].Together, got[i].Able, got[i].Unseen
				w.Check, w.Vantage, w.Members = tolerance, "svc1.example.com", nodes
				require.Equal(t, w, got[i])
			}
		})
	}
}

// The replicas in sync are handed up as they were reported: a broker that is
// perhaps only unreachable from here is unseen, and may be all that is needed.
func TestInSyncAsReported(t *testing.T) {
	c := checkstest.ReadCase(t, Module, "quorum_unseen")
	_, well := judge(c.Scope, checks.NewRecord(c.Seen))
	c.Seen[2].Data = json.RawMessage(`{"contact": {"state": "silent"}}`)
	_, got := judge(c.Scope, checks.NewRecord(c.Seen))
	require.Equal(t, well[0].Together, got[0].Together)
	require.Contains(t, got[0].Unseen, "svc3.example.com")
}

// How many copies must be in sync decides what the loss of a broker stops.
func TestMinISRUnseen(t *testing.T) {
	c := checkstest.ReadCase(t, Module, "healthy")
	var clusters []checks.Cluster
	for i, o := range c.Seen { // one broker that reports it is enough
		c.Seen[i].Data = bytes.ReplaceAll(o.Data, []byte(`"min_isr"`), []byte(`"not_reported"`))
		var findings []checks.Finding
		findings, clusters = judge(c.Scope, checks.NewRecord(c.Seen))
		at := slices.IndexFunc(findings, func(f checks.Finding) bool { return f.Check == tolerance })
		want := checks.Pass
		if i == len(c.Seen)-1 {
			want = checks.Unknown
		}
		require.Equal(t, want, findings[at].Status)
	}
	for _, got := range clusters {
		require.Empty(t, got.Able)
	}
}

// Without an inventory one broker may be any part of a cluster.
func TestNoClusterWithoutInventory(t *testing.T) {
	c := checkstest.ReadCase(t, Module, "no_inventory")
	_, clusters := judge(c.Scope, checks.NewRecord(c.Seen))
	require.Empty(t, clusters)
}

// BenchmarkObserve looks at one broker, as the double of one.
func BenchmarkObserve(b *testing.B) {
	cluster, host := double(b, roles)
	votes(cluster, func(r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) { return ballot(r, 0), nil })
	var seen any
	for b.Loop() {
		var err error
		seen, err = observe(b.Context(), host, target{Address: "10.0.0.11:9092", Ask: expected{"0"}})
		require.NoError(b, err)
	}
	text, err := json.Marshal(seen)
	require.NoError(b, err)
	require.Contains(b, string(text), `"voters"`, "nothing was left out")
}

// BenchmarkObserveFloor is what the protocol alone takes for it: a connection,
// the same requests in as many rounds, and their answers thrown away.
func BenchmarkObserveFloor(b *testing.B) {
	cluster, _ := double(b, roles)
	votes(cluster, func(r *kmsg.DescribeQuorumRequest) (kmsg.Response, error) { return ballot(r, 0), nil })
	rounds := requests()
	buffer := make([]byte, 64<<10)
	for b.Loop() {
		c, err := net.Dial("tcp", cluster.ListenAddrs()[0])
		require.NoError(b, err)
		for _, round := range rounds {
			for _, r := range round {
				c.Write(r)
			}
			for range round {
				_, err := io.ReadFull(c, buffer[:4])
				require.NoError(b, err)
				_, err = io.ReadFull(c, buffer[:binary.BigEndian.Uint32(buffer)])
				require.NoError(b, err)
			}
		}
		c.Close()
	}
}

// requests are those of one look, in their rounds.
func requests() [][][]byte {
	config := func(kind kmsg.ConfigResourceType, keys []string, names ...string) kmsg.Request {
		r := kmsg.NewPtrDescribeConfigsRequest()
		for _, name := range names {
			r.Resources = append(r.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kind, ResourceName: name, ConfigNames: keys})
		}
		return r
	}
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: make([]kmsg.DescribeQuorumRequestTopicPartition, 1)}}
	own := []string{"default.replication.factor", "min.insync.replicas", "transaction.state.log.replication.factor", "transaction.state.log.min.isr", "process.roles"}
	last := map[kmsg.Key]int16{kmsg.Metadata: 8, kmsg.DescribeConfigs: 3, kmsg.DescribeQuorum: 1}
	var out [][][]byte
	for _, round := range [][]kmsg.Request{
		{kmsg.NewPtrApiVersionsRequest()},
		{kmsg.NewPtrMetadataRequest()},
		{config(kmsg.ConfigResourceTypeBroker, own, "0", "1", "2")},
		{config(kmsg.ConfigResourceTypeTopic, own[1:2], "mail"), quorum},
	} {
		var bytes [][]byte
		for _, r := range round {
			r.SetVersion(last[kmsg.Key(r.Key())])
			bytes = append(bytes, kmsg.NewRequestFormatter().AppendRequest(nil, r, 1))
		}
		out = append(out, bytes)
	}
	return out
}
