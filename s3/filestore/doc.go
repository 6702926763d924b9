// Package filestore keeps the files and the uploads of a server in an object store, so that
// any number of servers can share them. A [Store] is both a [weirhttp.FileStore] and a
// [weirhttp.UploadStore]:
//
//	store, err := filestore.Open("s3://bucket/prefix", filestore.Options{})
//	…
//	if err := store.Probe(ctx); err != nil { … } // the object store only pretends
//	mux.Handle("/", &weirhttp.FileServer{Store: store, List: true})
//	mux.Handle("/upload/", &weirhttp.Uploads{Store: store})
//
// A file is an object whose key is the prefix followed by the name. The servers share
// nothing but the store: no locks, no leases, no clocks.
//
// # Uploads in progress
//
// Each upload has a small state object, which is created with If-None-Match and replaced
// only with If-Match. A request takes an upload over by swapping in the next epoch. The
// objects that it writes have the epoch in their keys, so the request of an older epoch
// cannot touch the objects of a newer one, however late its bytes arrive. Bytes that do
// not fill an object of 5 MiB go into a tail, which the next request reads first.
//
// At the end, the store itself assembles the objects, as the parts of a multipart upload.
// The multipart upload is in the state before it is completed, so that another server can
// end it: at most one of them ever creates the file. The file carries the id of the upload
// in its metadata. It settles a lost answer.
//
// The objects of uploads are under PREFIX/.weir-uploads/. Sweep removes those that nobody
// needs any more.
//
// # Memory
//
// An upload holds one part in memory while its client sends, or two if there is room. All
// of them come from one budget. When it is used up, uploads wait, and so do their clients.
package filestore
