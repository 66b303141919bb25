package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"foreverframe/stream"

	"go.etcd.io/bbolt"
)

// commit makes changes, all of them or none.
func (s *Store) commit(changes stream.Changes) error {
	last := s.index.last
	s.index.add(changes)
	records := s.index.forgotten(changes)
	receipts := before(s.index.receipts, changes.ForgetReceipts)
	next := s.next(changes, records, len(receipts))
	err := s.update(func(tx *bbolt.Tx) error {
		if s.doubt {
			if err := dropAfter(tx, last); err != nil {
				return err
			}
		}
		if err := drop(tx, records, receipts); err != nil { // first: bbolt is slow where much is new
			return err
		}
		if err := put(tx, changes, records); err != nil {
			return err
		}
		return putState(tx, next)
	})
	if err != nil {
		s.doubt = true
		s.index.undo(changes, last)
		if errors.As(err, new(*fs.PathError)) { // it names the file
			return err
		}
		return fmt.Errorf("write %s: %w", s.path, err)
	}
	s.doubt = false
	s.state = next
	s.index.forget(records, len(receipts))
	return nil
}

// next returns the state after changes, which drop some records and receipts.
func (s *Store) next(changes stream.Changes, records map[string][]uint64, receipts int) state {
	next := s.state
	next.floor, next.gap = max(next.floor, changes.Floor), max(next.gap, changes.Gap)
	next.records += uint64(len(changes.Records))
	next.receipts += uint64(len(changes.Receipts) - receipts)
	for _, ids := range records {
		next.records -= uint64(len(ids))
	}
	next.open = s.every > 0
	return next
}

// put adds the records and receipts of changes that are not dropped.
func put(tx *bbolt.Tx, changes stream.Changes, dropped map[string][]uint64) error {
	b := tx.Bucket(recordsBucket)
	b.FillPercent = 1 // ids only grow
	for _, r := range changes.Records {
		if ids := dropped[r.Topic]; len(ids) > 0 && r.ID <= ids[len(ids)-1] {
			continue
		}
		if err := b.Put(encodeRecord(r)); err != nil {
			return err
		}
	}
	b = tx.Bucket(receiptsBucket)
	b.FillPercent = 1
	for _, r := range changes.Receipts {
		if r.ID <= changes.ForgetReceipts {
			continue
		}
		if err := b.Put(encodeReceipt(r)); err != nil {
			return err
		}
	}
	return nil
}

// drop removes records and receipts.
func drop(tx *bbolt.Tx, records map[string][]uint64, receipts []uint64) error {
	for _, ids := range records {
		if err := remove(tx.Bucket(recordsBucket), ids); err != nil {
			return err
		}
	}
	return remove(tx.Bucket(receiptsBucket), receipts)
}

func remove(b *bbolt.Bucket, ids []uint64) error {
	for _, id := range ids {
		if err := b.Delete(key(id)); err != nil {
			return err
		}
	}
	return nil
}

// dropAfter removes what is newer than last: it was never accepted.
func dropAfter(tx *bbolt.Tx, last uint64) error {
	for _, name := range [][]byte{recordsBucket, receiptsBucket} {
		b := tx.Bucket(name)
		var ids []uint64
		c := b.Cursor()
		for k, _ := c.Seek(key(last + 1)); k != nil; k, _ = c.Next() {
			ids = append(ids, binary.BigEndian.Uint64(k))
		}
		if err := remove(b, ids); err != nil {
			return err
		}
	}
	return nil
}
