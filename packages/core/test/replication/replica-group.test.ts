import { newReplica, ReplicaGroup, type ReplicationInfo } from '@stowage/core/driver'
import { expect, test } from 'vitest'

test('a replica serves no read before it is known to be connected to its primary', async () => {
  const stream = { replicationId: 'a'.repeat(40), offset: 1, isLinked: true }
  const serverWith = (info: ReplicationInfo) => ({ tryConnect: () => true, info })
  const primary = serverWith({ ...stream, isPrimary: true })
  const replica = serverWith({ ...stream, isPrimary: false })
  const group = new ReplicaGroup({
    primary,
    replicas: [newReplica(replica, primary)],
    readFrom: 'replica',
    readState: async ({ info }) => info,
    tracker: undefined,
  })
  expect(group.reader(['k'], 'eventual')).toBe(primary)
  await group.checkHealth()
  expect(group.reader(['k'], 'eventual')).toBe(replica)
})
