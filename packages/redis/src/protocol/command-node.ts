import slotOf from 'cluster-key-slot'
import type { Cluster, Redis } from 'ioredis'
import type { CommandClient } from './command-client.ts'

/** Whether the client routes commands to the nodes of a cluster. */
export function isCluster(client: object): client is Cluster {
  return 'slots' in client
}

/** The client of the server that a command for the key is sent to; that of the cluster if it is not known. */
export function nodeFor(client: CommandClient, key: string): Redis | Cluster {
  if (client.nodeFor !== undefined) return client.nodeFor(key)
  const own = client as unknown as Redis | Cluster
  return isCluster(own) ? masterOf(own, key) : own
}

function masterOf(cluster: Cluster, key: string): Redis | Cluster {
  const address = cluster.slots[slotOf(key)]?.[0]
  const isMaster = ({ options }: Redis) => `${options.host}:${options.port}` === address
  return cluster.nodes('master').find(isMaster) ?? cluster
}
