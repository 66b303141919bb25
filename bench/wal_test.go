package bench_test

import (
	"encoding/binary"

	"foreverframe/stream"

	"github.com/tidwall/wal"
)

// A walStore is a stream.Store on a write-ahead log, with as much as is needed
// to compare: the front of the log goes when no topic needs it any more.
type walStore struct {
	log    *wal.Log
	next   uint64              // index of the next entry
	first  uint64              // index of the oldest entry
	needed map[string][]walled // records by topic, oldest first
}

// A walled record is in the log.
type walled struct{ id, index uint64 }

// openWAL opens the log in dir.
func openWAL(dir string) (*walStore, error) {
	log, err := wal.Open(dir, nil)
	return &walStore{log: log, next: 1, first: 1, needed: make(map[string][]walled)}, err
}

func (s *walStore) Load(each func(stream.Record)) (kept stream.Kept, err error) {
	last, err := s.log.LastIndex()
	if err != nil || last == 0 {
		return kept, err
	}
	if s.first, err = s.log.FirstIndex(); err != nil {
		return kept, err
	}
	for s.next = s.first; s.next <= last; s.next++ {
		data, err := s.log.Read(s.next)
		if err != nil {
			return kept, err
		}
		r := readRecord(data)
		s.needed[r.Topic] = append(s.needed[r.Topic], walled{r.ID, s.next})
		each(r)
	}
	return kept, nil
}

func (s *walStore) Write(changes stream.Changes) error {
	var batch wal.Batch
	for _, r := range changes.Records {
		batch.Write(s.next, appendRecord(nil, r))
		s.needed[r.Topic] = append(s.needed[r.Topic], walled{r.ID, s.next})
		s.next++
	}
	if err := s.log.WriteBatch(&batch); err != nil {
		return err
	}
	for _, p := range changes.Forget {
		records := s.needed[p.Topic]
		for len(records) > 0 && records[0].id <= p.ID {
			records = records[1:]
		}
		s.needed[p.Topic] = records
	}
	return s.truncate()
}

// truncate drops the front of the log when that is worth it.
func (s *walStore) truncate() error {
	if s.next-s.first < 1<<16 {
		return nil
	}
	oldest := s.next - 1
	for _, records := range s.needed {
		if len(records) > 0 {
			oldest = min(oldest, records[0].index)
		}
	}
	if oldest-s.first < 1<<15 {
		return nil
	}
	s.first = oldest
	return s.log.TruncateFront(oldest)
}

func appendRecord(b []byte, r stream.Record) []byte {
	for _, n := range []uint64{r.ID, r.After, uint64(r.At)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range append([]string{r.Topic}, parts(r)...) {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func parts(r stream.Record) (all []string) {
	for _, u := range r.Updates {
		all = append(all, u.Action, u.Target, u.HTML)
	}
	return all
}

func readRecord(data []byte) stream.Record {
	rest := string(data)
	number := func() uint64 {
		n, size := binary.Uvarint([]byte(rest[:min(len(rest), 10)]))
		rest = rest[size:]
		return n
	}
	text := func() (s string) {
		n := number()
		s, rest = rest[:n], rest[n:]
		return s
	}
	r := stream.Record{ID: number(), After: number(), At: int64(number()), Topic: text()}
	for rest != "" {
		r.Updates = append(r.Updates, stream.Update{Action: text(), Target: text(), HTML: text()})
	}
	return r
}
