package stream

import (
	"crypto/sha256"
	"errors"
)

// A Store keeps the topics of a Hub over the end of its process. Package
// stream/disk has one that keeps them in a directory. A hub calls its methods
// one after the other.
type Store interface {
	// Load calls each with what is kept, in the order of the ids, and returns
	// the rest. It is called once, before Write. An error means that what is
	// kept cannot be read; it says what to do.
	Load(each func(Record)) (Kept, error)
	// Write makes the changes, all of them or none, and returns when they are
	// safe. After an error it may be called again: the ids that it has been
	// given then do not come again.
	Write(Changes) error
}

// ErrStore means that the hub's store cannot keep what was to be published now,
// for example because the disk is full. Nothing has been published; it may be
// tried again.
var ErrStore = errors.New("the store cannot keep it now, so it is not published: send it again later")

// A Record is what was published to a topic at once, or the topic's end.
type Record struct {
	Topic string
	// ID is the id of the last update; those before it have the ids before it.
	// An end has one of its own.
	ID uint64
	// After is the ID of the topic's record before, or where the topic began.
	After uint64
	// At is when it was published, in microseconds since 1970.
	At int64
	// Updates are what was published. A record without any is the topic's end.
	Updates []Update
}

// Changes are what a Store is to do at once.
type Changes struct {
	// Records are added, in the order of their ids.
	Records []Record
	// Receipts are added.
	Receipts []Receipt
	// Forget says which records of topics are not needed any more.
	Forget []Place
	// ForgetReceipts is the newest ID of the receipts that are not needed any
	// more. Zero means none.
	ForgetReceipts uint64
	// Floor and Gap, if not zero, take the place of those that are kept.
	Floor, Gap uint64
}

// Kept is what a Store keeps besides the records.
type Kept struct {
	// Receipts are in the order of their ids.
	Receipts []Receipt
	// Floor is the newest id of a topic that is dropped, or the first birth of
	// the hub. Zero means that the store is new.
	Floor uint64
	// Gap is the place before which every place is a gap.
	Gap uint64
	// Lossy says that the store may have lost what it had been given last: it
	// was not closed, and it is one that returns before all is safe.
	Lossy bool
}

// A Place is a topic and an id in it: all that there is up to this id.
type Place struct {
	Topic string
	ID    uint64
}

// A Receipt is what a publisher has been answered, so that a request which is
// sent again publishes nothing.
type Receipt struct {
	Topic, Key string            // the key is the publisher's own, the Idempotency-Key
	Digest     [sha256.Size]byte // of the updates
	ID         uint64            // of the last update; those before it have the ids before it
	Updates    int               // how many there are
	At         int64             // when they were published, in microseconds since 1970
}

// ids returns the ids of r's updates.
func (r Receipt) ids() []uint64 { return idsUpTo(r.ID, r.Updates) }

// idsUpTo returns n ids of which last is the last.
func idsUpTo(last uint64, n int) (ids []uint64) {
	for i := range n {
		ids = append(ids, last-uint64(n-1-i))
	}
	return ids
}
