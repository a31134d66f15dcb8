import { channels } from '@stowage/core'
import {
  newReplica,
  ReplicaGroup,
  type ReplicationInfo,
  type ReplicationState,
} from '@stowage/core/internal'
import { expect, test } from 'vitest'

test('a replica serves no read before it is known to be connected to its primary', async () => {
  const stream = { replicationId: 'a'.repeat(40), offset: 1, isLinked: true }
  const serverWith = (info: ReplicationInfo) => ({ tryConnect: () => true, info })
  const primary = serverWith({ ...stream, isPrimary: true })
  const replica = serverWith({ ...stream, isPrimary: false })
  const group = new ReplicaGroup({
    primary,
    replicas: [newReplica(replica, primary)],
    store: 'test',
    readFrom: 'replica',
    readState: async ({ info }) => info,
    tracker: undefined,
  })
  expect(group.reader(['k'], 'eventual')).toBe(primary)
  await group.checkHealth()
  expect(group.reader(['k'], 'eventual')).toBe(replica)
})

test('the event of a replica says how far it is behind, as long as it is linked', async () => {
  const events: unknown[] = []
  const listener = (event: unknown) => void events.push(event)
  channels.replica.subscribe(listener)
  const stream = { replicationId: 'a'.repeat(40), isLinked: true }
  const primary = {
    tryConnect: () => true,
    state: { ...stream, offset: 500, isPrimary: true } as ReplicationState,
  }
  const replica = {
    tryConnect: () => true,
    address: 'replica:1',
    state: { ...stream, offset: 380, isPrimary: false } as ReplicationState,
  }
  const group = new ReplicaGroup({
    primary,
    store: 'test',
    replicas: [newReplica(replica, primary)],
    readFrom: 'replica',
    readState: async ({ state }: { readonly state: ReplicationState }) => state,
    tracker: undefined,
  })
  await group.checkHealth()
  replica.state = { ...stream, offset: 380, isPrimary: false, isLinked: false }
  await group.checkHealth()
  replica.state = { ...stream, offset: 600, isPrimary: false }
  await group.checkHealth()
  replica.state = 'unreachable'
  await group.checkHealth()
  channels.replica.unsubscribe(listener)
  const at = { store: 'test', server: 'replica:1' }
  expect(events).toEqual([
    { ...at, isLinked: true, lagBytes: 120 },
    { ...at, isLinked: false, lagBytes: undefined },
    { ...at, isLinked: true, lagBytes: 0 },
    { ...at, isLinked: false, lagBytes: undefined },
  ])
})
