package compile

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/snapshot"
)

// Encode turns the snapshot into files, after is what was encoded before. A file has to fit into a Secret, so where one would not, what was served before stays
// and what came since waits for room: what is new is left out, the youngest first, and what has grown is served as it was. Findings and Snapshot say so afterwards.
// It fails with a *snapshot.TooLargeError when that is not enough, because the ServiceProvider's own settings have grown.
func (o *Output) Encode(after *snapshot.Encoded) (*snapshot.Encoded, error) {
	for {
		encoded, err := snapshot.EncodeAfter(after, *o.Snapshot)
		tooLarge, ok := errors.AsType[*snapshot.TooLargeError](err)
		if !ok || !o.makeRoom(tooLarge) {
			return encoded, err
		}
	}
}

// makeRoom takes something out of a file that is too large, and tells whether there was something to take.
func (o *Output) makeRoom(file *snapshot.TooLargeError) bool {
	if file.File == snapshot.IndexFile {
		return o.leaveOutDomains(excess(file.Bytes, file.Domains))
	}
	return o.leaveOutConnections(file.File, excess(file.Bytes, file.Connections)) || o.undoGrowth(file.File)
}

// excess is how many of so many elements are too many, when they are about as large as each other.
func excess(size, elements int) int {
	return 1 + (size-snapshot.MaxFileBytes)*elements/size
}

func (o *Output) leaveOutDomains(n int) bool {
	served := map[string]string{}
	if o.previous != nil {
		for i := range o.previous.Domains {
			served[o.previous.Domains[i].Binding] = o.previous.Domains[i].UID
		}
	}
	bindings := names(o.Snapshot.Domains, func(d *snapshot.Domain) string { return d.Binding })
	out := o.youngest(v1alpha1.KindDomainBinding, n, bindings, func(f *Finding) bool {
		id, known := served[f.Name]
		return !known || id != uid(f.UID)
	})
	for name := range out {
		o.Finding(v1alpha1.KindDomainBinding, name).refuse(v1alpha1.ReasonSnapshotTooLarge,
			"There is no room for it: everything that is bound at one ServiceProvider has to fit into a Secret, and older DomainBindings fill that. "+
				"Move some, with their IdentityProviders, to another ServiceProvider. This one is served as soon as there is room.")
	}
	o.Snapshot.Domains = slices.DeleteFunc(o.Snapshot.Domains, func(d snapshot.Domain) bool { return out[d.Binding] })
	return len(out) > 0
}

func (o *Output) leaveOutConnections(file string, n int) bool {
	inFile := names(o.Snapshot.Connections, func(c *snapshot.Connection) string { return c.Name })
	inFile = slices.DeleteFunc(inFile, func(name string) bool { return snapshot.ShardFile(snapshot.ShardOf(name)) != file })
	out := o.youngest(v1alpha1.KindIdentityProvider, n, inFile, func(f *Finding) bool { return o.before(f.Name, uid(f.UID)) == nil })
	for name := range out {
		o.Finding(v1alpha1.KindIdentityProvider, name).refuse(v1alpha1.ReasonSnapshotTooLarge,
			"There is no room for it: IdentityProviders share Secrets, by their names, and older ones fill the Secret of this one. Move some to another ServiceProvider, make their metadata or mappings smaller, "+
				"or give this one another name, which leads to another Secret. It is served as soon as there is room.")
	}
	for i := range o.Snapshot.Connections {
		if c := &o.Snapshot.Connections[i]; out[c.Name] {
			o.waitFor(c)
		}
	}
	o.Snapshot.Connections = slices.DeleteFunc(o.Snapshot.Connections, func(c snapshot.Connection) bool { return out[c.Name] })
	return len(out) > 0
}

// waitFor holds the domains and the mapping of a connection that was left out.
func (o *Output) waitFor(c *snapshot.Connection) {
	if f := o.Finding(v1alpha1.KindAttributeMapping, c.Mapping.Name); f != nil {
		f.waitForIdentityProvider(c.Name)
	}
	for i := range o.Snapshot.Domains {
		if d := &o.Snapshot.Domains[i]; d.Connection == c.Name {
			o.Finding(v1alpha1.KindDomainBinding, d.Binding).waitForIdentityProvider(c.Name)
			d.Connection = ""
		}
	}
}

// undoGrowth serves the connection that has grown most as before: with its former mapping when that is what grew, and altogether otherwise. What was
// switched off stays off.
func (o *Output) undoGrowth(file string) bool {
	var grown, before *snapshot.Connection
	most := 0
	for i := range o.Snapshot.Connections {
		c := &o.Snapshot.Connections[i]
		if snapshot.ShardFile(snapshot.ShardOf(c.Name)) != file {
			continue
		}
		// Where the ServiceProvider has another address now, the connection cannot keep the former one.
		if last := o.before(c.Name, c.UID); last != nil && last.ACSURL == c.ACSURL {
			if by := size(c) - size(last); by > most {
				grown, before, most = c, last, by
			}
		}
	}
	if grown == nil {
		return false
	}
	const message = "There is no room for what was added: IdentityProviders share Secrets, by their names, and the one of this one is full. Make the metadata and the mapping smaller, or move " +
		"IdentityProviders to another ServiceProvider. Until then the connection is served as before."
	kind, name, serving := v1alpha1.KindIdentityProvider, grown.Name, ServingLastGood
	if size(grown.Mapping) > size(before.Mapping) {
		kind, name = v1alpha1.KindAttributeMapping, grown.Mapping.Name
		if grown.Mapping.UID != before.Mapping.UID {
			serving = ServingNothing
		}
		grown.Mapping = before.Mapping
	} else {
		enabled := grown.Enabled
		*grown = *before
		grown.Enabled = grown.Enabled && enabled
	}
	if f := o.Finding(kind, name); f != nil {
		f.refuse(v1alpha1.ReasonSnapshotTooLarge, message)
		f.Serving = serving
	}
	return true
}

// before returns the connection as it was served before, or nil.
func (o *Output) before(name, id string) *snapshot.Connection {
	if o.previous == nil {
		return nil
	}
	i := slices.IndexFunc(o.previous.Connections, func(c snapshot.Connection) bool { return c.Name == name && c.UID == id })
	if i < 0 {
		return nil
	}
	return &o.previous.Connections[i]
}

// youngest returns at most n of the named objects, of those that may be taken.
func (o *Output) youngest(kind string, n int, among []string, may func(*Finding) bool) map[string]bool {
	var found []*Finding
	for _, name := range among {
		if f := o.Finding(kind, name); f != nil && may(f) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b *Finding) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.Name, a.Name)) })
	out := map[string]bool{}
	for _, f := range found[:min(n, len(found))] {
		out[f.Name] = true
	}
	return out
}

func names[T any](all []T, name func(*T) string) []string {
	found := make([]string, 0, len(all))
	for i := range all {
		found = append(found, name(&all[i]))
	}
	return found
}

// size is about how much of a file something takes.
func size(part any) int {
	encoded, err := json.Marshal(part)
	if err != nil {
		return 0 // Encode says so of the whole
	}
	return len(encoded)
}
