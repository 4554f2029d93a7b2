package workers

import (
	"container/list"
	"sync/atomic"

	"github.com/evhttpd/evhttpd/conn"
)

// jobQueue is the tasks of one class that wait for a worker. Clients take turns: each has a
// queue of its own while it has tasks here.
type jobQueue struct {
	clients map[conn.Client]*clientQueue
	turns   list.List        // the same *clientQueue in the order of their turns
	doubted clientQueue      // of whatever client: tasks for which none waits for certain
	queued  int              // tasks
	certain atomic.Int32     // of them, those that are not doubted
	running int              // tasks of the class that workers have
	groups  map[any]struct{} // of those tasks
}

// clientQueue is the tasks of one client.
type clientQueue struct {
	client conn.Client
	tasks  list.List     // *task, oldest first
	turn   *list.Element // of jobQueue.turns
}

// admits reports whether the client may queue one more task: no more than there is room left for
// others, so that whoever comes later always finds some. Clients that nobody can tell apart share all of it. The
// doubted take no room, up to a queue's length of them.
func (q *jobQueue) admits(client conn.Client) bool {
	room := queueMax - int(q.certain.Load())
	own := q.clients[client]
	return room > 0 && q.queued < 2*queueMax && (own == nil || client == conn.Client{} || own.tasks.Len() < room)
}

// push puts a task at the end of its client's queue, or of the one of the doubted.
func (q *jobQueue) push(t *task) {
	own := &q.doubted
	if !t.doubted.Load() {
		own = q.of(t.client)
		q.certain.Add(1)
	}
	t.of, t.place = own, own.tasks.PushBack(t)
	q.queued++
}

// of returns a client's queue, which is given the last turn if it is new.
func (q *jobQueue) of(client conn.Client) *clientQueue {
	own := q.clients[client]
	if own == nil {
		own = &clientQueue{client: client}
		if q.clients == nil {
			q.clients = make(map[conn.Client]*clientQueue)
		}
		q.clients[client], own.turn = own, q.turns.PushBack(own)
	}
	return own
}

// pop takes the oldest task of the client whose turn it is; the doubted ones have theirs when there is no other.
// Tasks whose group is at work are passed over. nil: there is nothing else.
func (q *jobQueue) pop() *task {
	for e := q.turns.Front(); e != nil; e = e.Next() {
		if t := q.free(e.Value.(*clientQueue)); t != nil {
			q.turns.MoveToBack(e)
			q.begin(t)
			return t
		}
	}
	t := q.free(&q.doubted)
	if t != nil {
		q.begin(t)
	}
	return t
}

// free returns a queue's oldest task whose group is not at work.
func (q *jobQueue) free(own *clientQueue) *task {
	for e := own.tasks.Front(); e != nil; e = e.Next() {
		t := e.Value.(*task)
		if _, busy := q.groups[t.group]; !busy || t.group == nil {
			return t
		}
	}
	return nil
}

// begin takes a task out for a worker.
func (q *jobQueue) begin(t *task) {
	q.remove(t)
	if t.group != nil {
		if q.groups == nil {
			q.groups = make(map[any]struct{})
		}
		q.groups[t.group] = struct{}{}
	}
}

// done ends a task that a worker had.
func (q *jobQueue) done(t *task) {
	q.running--
	delete(q.groups, t.group)
}

// remove takes a task out.
func (q *jobQueue) remove(t *task) {
	own := t.of
	own.tasks.Remove(t.place)
	t.of, t.place = nil, nil
	q.queued--
	if own == &q.doubted {
		return
	}
	q.certain.Add(-1)
	if own.tasks.Len() == 0 {
		q.turns.Remove(own.turn)
		delete(q.clients, own.client)
	}
}
