package disk

import (
	"errors"

	"foreverframe/stream"

	"go.etcd.io/bbolt"
)

// Load reads the file and calls each with every record, as stream.Store says. It
// finds whatever is damaged.
func (s *Store) Load(each func(stream.Record)) (kept stream.Kept, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept = stream.Kept{Floor: s.state.floor, Gap: s.state.gap, Lossy: s.lossy}
	err = contain(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if err := s.loadRecords(tx, each); err != nil {
				return err
			}
			return s.loadReceipts(tx, &kept)
		})
	}, func(why error) error { return why })
	if err != nil {
		return kept, damaged(s.path, err)
	}
	return kept, nil
}

var errMissing = errors.New("what was written is not all there")

func (s *Store) loadRecords(tx *bbolt.Tx, each func(stream.Record)) error {
	last := make(map[string]uint64) // by topic
	err := walk(tx.Bucket(recordsBucket), s.state.records, func(k, v []byte) error {
		r, err := decodeRecord(k, v)
		if before := last[r.Topic]; err == nil && before != 0 && before != r.After {
			err = errMissing
		}
		if err != nil {
			return err
		}
		last[r.Topic] = r.ID
		s.index.addRecord(r.Topic, r.ID)
		each(r)
		return nil
	})
	return err
}

func (s *Store) loadReceipts(tx *bbolt.Tx, kept *stream.Kept) error {
	return walk(tx.Bucket(receiptsBucket), s.state.receipts, func(k, v []byte) error {
		r, err := decodeReceipt(k, v)
		if err != nil {
			return err
		}
		s.index.addReceipt(r.ID)
		kept.Receipts = append(kept.Receipts, r)
		return nil
	})
}

// walk calls f with the n pairs of b, whose keys must be in order.
func walk(b *bbolt.Bucket, n uint64, f func(k, v []byte) error) error {
	var last []byte
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if n == 0 || string(k) <= string(last) {
			return errMissing
		}
		if err := f(k, v); err != nil {
			return err
		}
		last = k
		n--
	}
	if n > 0 {
		return errMissing
	}
	return nil
}
