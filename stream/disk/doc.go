// Package disk keeps the topics of a stream.Hub in a directory, so that they
// survive the end of the process, however it ends.
//
// The directory has one file, a bbolt database: a B+tree that changes by whole
// transactions, of which a torn one has never been. In it, by id: the records,
// the receipts, and the state, which counts them. Every value carries a checksum
// of its own, and every record says which one of its topic came before it; so
// what is damaged is found when the store is loaded, and not served.
package disk
