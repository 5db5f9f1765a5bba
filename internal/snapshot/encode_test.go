package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// places visits everything in a value that can be changed by itself, by its path.
func places(path string, v reflect.Value, visit func(path string, v reflect.Value)) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		visit(path, v)
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		places(path, v.Elem(), visit)
		visit(path+" as a whole", v)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			places(path+"."+v.Type().Field(i).Name, v.Field(i), visit)
		}
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		places(path+"[0]", v.Index(0), visit)
		visit(path+" as a whole", v)
	default:
		visit(path, v)
	}
}

// full has something in every place.
func full() *Connection {
	c := &Connection{}
	places("", reflect.ValueOf(c).Elem(), func(string, reflect.Value) {})
	return c
}

// TestEveryFieldOfAConnectionIsCompared changes one place after the other, those included that somebody adds one day.
func TestEveryFieldOfAConnectionIsCompared(t *testing.T) {
	if !SameConnection(full(), full()) {
		t.Fatal("a connection is not the same as itself")
	}
	seen := 0
	check := func(path string, changed *Connection) {
		seen++
		if SameConnection(full(), changed) || SameConnection(changed, full()) {
			t.Errorf("a change of %s is not seen", path)
		}
	}
	var paths []string
	places("", reflect.ValueOf(full()).Elem(), func(path string, _ reflect.Value) { paths = append(paths, path) })
	for _, path := range paths {
		for _, with := range changes {
			c, done := full(), false
			places("", reflect.ValueOf(c).Elem(), func(p string, v reflect.Value) { done = done || p == path && with(v) })
			if done {
				check(path, c)
			}
		}
	}
	if seen < 70 {
		t.Errorf("%d changes were tried: the test proves little", seen)
	}
}

// changes of one place; false: this one is not for it.
var changes = []func(reflect.Value) bool{
	func(v reflect.Value) bool {
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint8:
			v.SetUint(v.Uint() + 1)
		case reflect.Struct:
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
		case reflect.Pointer:
			v.SetZero()
		case reflect.Slice:
			v.Set(reflect.AppendSlice(v, v))
		default:
			panic(fmt.Sprintf("no change for a %s", v.Kind()))
		}
		return true
	},
	func(v reflect.Value) bool { // the same moment in another zone is written in another way
		if v.Kind() != reflect.Struct {
			return false
		}
		v.Set(reflect.ValueOf(time.Time{}.In(time.FixedZone("there", 3600))))
		return true
	},
	func(v reflect.Value) bool {
		if v.Kind() == reflect.Slice {
			v.Set(v.Slice(0, 0))
		}
		return v.Kind() == reflect.Slice
	},
	func(v reflect.Value) bool {
		if v.Kind() == reflect.Slice {
			v.SetZero()
		}
		return v.Kind() == reflect.Slice
	},
}

// TestAnEmptyListIsNotAMissingOne: their JSON differs where a field is not left out.
func TestAnEmptyListIsNotAMissingOne(t *testing.T) {
	a, b := full(), full()
	a.Trust.SSO, b.Trust.SSO = nil, []Endpoint{}
	if one, other := encoded(t, a), encoded(t, b); one == other || SameConnection(a, b) {
		t.Errorf("%s and %s are taken for the same", one, other)
	}
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// TestOnlyWhatChangedIsEncodedAgain gives every file that was encoded before a digest that no content has: it stays where nothing is encoded again.
func TestOnlyWhatChangedIsEncodedAgain(t *testing.T) {
	shard := ShardFile(ShardOf("idp-16")) // with others in it; idp-17 is alone in its own
	for name, test := range map[string]struct {
		change  func(*Snapshot)
		encoded []string
	}{
		"nothing":                {func(*Snapshot) {}, nil},
		"another order":          {func(s *Snapshot) { slices.Reverse(s.Connections); slices.Reverse(s.Domains) }, nil},
		"a connection":           {func(s *Snapshot) { s.Connections[16].Generation++ }, []string{IndexFile, shard}},
		"a key":                  {func(s *Snapshot) { s.Connections[16].Keys = []SPKey{{Phase: KeyNext}} }, []string{IndexFile, shard}},
		"a connection is gone":   {func(s *Snapshot) { s.Connections = slices.Delete(s.Connections, 16, 17) }, []string{IndexFile, shard}},
		"all of a shard is gone": {func(s *Snapshot) { s.Connections = slices.Delete(s.Connections, 17, 18) }, []string{IndexFile}},
		"the last is gone":       {func(s *Snapshot) { s.Connections = lastOf(s.Connections, shard) }, []string{IndexFile, shard}},
		"a connection more":      {func(s *Snapshot) { s.Connections = append(s.Connections, Connection{Name: "idp-16"}) }, []string{IndexFile, shard}},
		"a domain":               {func(s *Snapshot) { s.Domains[3].Generation++ }, []string{IndexFile}},
		"a domain is gone":       {func(s *Snapshot) { s.Domains = s.Domains[:9] }, []string{IndexFile}},
		"the ServiceProvider":    {func(s *Snapshot) { s.ServiceProvider.AllowedHosts = []string{"a.example"} }, []string{IndexFile}},
		"deep in it":             {func(s *Snapshot) { s.ServiceProvider.Access = &Access{Rules: []AccessRule{{Allow: "Public"}}} }, []string{IndexFile}},
		"a list that was empty":  {func(s *Snapshot) { s.Connections[16].Trust = &Trust{SSO: []Endpoint{}} }, []string{IndexFile, shard}},
		"a name within a domain": {func(s *Snapshot) { s.Domains[3].Connection = "" }, []string{IndexFile}},
	} {
		t.Run(name, func(t *testing.T) {
			before, s := encode(t, sample(100, 10)), sample(100, 10)
			none := strings.Repeat("f", 64)
			for file := range before.digests {
				before.digests[file] = none
			}
			for i := range before.head.Shards {
				before.head.Shards[i].SHA256 = none
			}
			test.change(&s)
			after, err := EncodeAfter(before, s)
			if err != nil {
				t.Fatal(err)
			}
			var again []string
			for file, digest := range after.digests {
				if digest != none {
					again = append(again, file)
				}
			}
			if slices.Sort(again); !slices.Equal(again, test.encoded) {
				t.Errorf("encoded again: %v, want %v", again, test.encoded)
			}
			// Without the digests of nobody it is what encoding everything gives.
			honest, err := EncodeAfter(encode(t, sample(100, 10)), s)
			if err != nil {
				t.Fatal(err)
			}
			if anew := encode(t, s); honest.Revision != anew.Revision || !maps.EqualFunc(honest.Files, anew.Files, bytes.Equal) {
				t.Error("encoding after another gives other files than encoding anew")
			}
		})
	}
}

// lastOf leaves out the connection with the greatest name in a shard.
func lastOf(connections []Connection, file string) []Connection {
	last := ""
	for _, c := range connections {
		if ShardFile(ShardOf(c.Name)) == file {
			last = max(last, c.Name)
		}
	}
	return slices.DeleteFunc(connections, func(c Connection) bool { return c.Name == last })
}
