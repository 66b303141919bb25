// Package access says who may follow topics and publish to them: those who have
// a token, and pages of which origins.
package access
