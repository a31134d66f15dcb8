import { expect, test } from 'vitest'
import type { ClusterConnection } from '../../src/connection/cluster/cluster-connection.ts'
import { ClusterShards } from '../../src/topology/cluster-shards.ts'

test('the replicas of a former master are not used after a redirection to another one', () => {
  const slots = [['master:1', 'replica:2']]
  const connectionTo = () => ({ tryConnect: () => false, onStateChange() {} })
  let refreshed = () => {}
  const connection = {
    slots,
    nodes: () => new Map([...(slots[0] ?? [])].map((name) => [name, {}])),
    connectionTo,
    connectionToReplica: connectionTo,
    onSlotsRefreshed(listener: () => void) {
      refreshed = listener
    },
  } as unknown as ClusterConnection
  const shards = new ClusterShards(connection, [], 'replica', undefined)
  refreshed()
  expect(shards.shardOf(0)?.replicas).toHaveLength(1)
  // What the client does with a redirection: it does not know the replicas of the other master.
  slots[0] = ['other:3']
  expect(shards.shardOf(0)).toBeUndefined()
  slots[0] = ['other:3', 'replica:4']
  refreshed()
  expect(shards.shardOf(0)?.replicas).toHaveLength(1)
})
