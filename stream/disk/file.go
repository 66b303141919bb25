package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// This file is how the database file is made, opened and changed.

var (
	recordsBucket  = []byte("records")
	receiptsBucket = []byte("receipts")
	stateBucket    = []byte("state")
	stateKey       = []byte("state")
)

var (
	// ErrDamaged means that the file is not what the store has written.
	ErrDamaged = errors.New("the file is damaged")
	// ErrInUse means that another process has the store open.
	ErrInUse = errors.New("another process uses this directory")
)

func damaged(path string, why error) error {
	return fmt.Errorf("%s: %w (%w): put a sound copy in its place, or move it away to start without what it keeps", path, ErrDamaged, why)
}

// create makes the file, whole or not at all, if there is none.
func create(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, err := os.CreateTemp(dir, "topics-*.new")
	if err != nil {
		return err
	}
	made.Close()
	defer os.Remove(made.Name())
	if err := initialize(made.Name()); err != nil {
		return err
	}
	if err := os.Link(made.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(dir)
}

// initialize writes an empty store to the file at path.
func initialize(path string) error {
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{recordsBucket, receiptsBucket, stateBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return putState(tx, state{})
	})
	return errors.Join(err, db.Close())
}

// syncDirectory makes a new name in dir safe, where the system can do that.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}

// open opens the file.
func (s *Store) open() error {
	return contain(func() (err error) {
		s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
		var number syscall.Errno
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bolterrors.ErrTimeout):
			return fmt.Errorf("%s: %w: end it first, or choose another directory", s.path, ErrInUse)
		case errors.As(err, &number):
			return fmt.Errorf("open %s: %w", s.path, err)
		}
		return damaged(s.path, err)
	}, func(why error) error { return damaged(s.path, why) })
}

// contain returns what f returns. If f stumbles over a page that is not what it
// should be, or not there, that is the error of broken.
func contain(f func() error, broken func(why error) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // the file is mapped into memory
	defer func() {
		if p := recover(); p != nil {
			err = broken(fmt.Errorf("%v", p))
		}
	}()
	return f()
}

// readState returns the state in the file.
func readState(db *bbolt.DB) (st state, err error) {
	err = contain(func() error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			for _, name := range [][]byte{recordsBucket, receiptsBucket, stateBucket} {
				if tx.Bucket(name) == nil {
					return errContent
				}
			}
			st, err = decodeState(stateKey, tx.Bucket(stateBucket).Get(stateKey))
			return err
		})
	}, func(why error) error { return why })
	return st, err
}

func putState(tx *bbolt.Tx, s state) error {
	return tx.Bucket(stateBucket).Put(stateKey, encodeState(stateKey, s))
}

// update changes the file by one transaction. After an error the file is opened
// anew, or not used any more if it is not sound.
func (s *Store) update(f func(tx *bbolt.Tx) error) error {
	if s.broken != nil {
		return s.broken
	}
	if s.db == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	err := contain(func() error { return s.db.Update(f) }, func(why error) error {
		s.broken = fmt.Errorf("%s: %w: start the program again", s.path, why) // what bbolt has locked stays so
		return s.broken
	})
	if err != nil && s.broken == nil {
		s.db.Close()
		s.db = nil
	}
	return err
}
