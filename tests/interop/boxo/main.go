// The gateway of boxo, which many others are built from, over the blocks of a CAR: what ours is compared with.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/sync"
	"github.com/ipld/go-car/v2"
)

func main() {
	store := blockstore.NewIdStore(blockstore.NewBlockstore(sync.MutexWrap(datastore.NewMapDatastore())))
	if err := load(store, os.Args[1]); err != nil {
		log.Fatal(err)
	}
	backend, err := gateway.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)))
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	handler := gateway.NewHandler(gateway.Config{DeserializedResponses: true}, backend)
	go endWithStdin()
	fmt.Println("http://" + listener.Addr().String())
	log.Fatal(http.Serve(listener, gateway.NewHeaders(nil).ApplyCors().Wrap(handler)))
}

func load(store blockstore.Blockstore, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	blocks, err := car.NewBlockReader(file)
	if err != nil {
		return err
	}
	for {
		block, err := blocks.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := store.Put(context.Background(), block); err != nil {
			return err
		}
	}
}

func endWithStdin() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
