import slotOf from 'cluster-key-slot'
import type { Cluster, Redis } from 'ioredis'
import type { CommandClient } from './command-client.ts'

/** Whether the client routes commands to the nodes of a cluster. */
export function isCluster(client: object): client is Cluster {
  return 'slots' in client
}

/** The socket that a command for the key is sent on, or else the object that stands for it. */
export function socketFor(client: CommandClient, key: string): object {
  if (client.socketFor !== undefined) return client.socketFor(key)
  const node = isCluster(client) ? masterOf(client, key) : client
  return (node as { readonly stream?: object }).stream ?? node
}

function masterOf(cluster: Cluster, key: string): object {
  const address = cluster.slots[slotOf(key)]?.[0]
  const isMaster = ({ options }: Redis) => `${options.host}:${options.port}` === address
  return cluster.nodes('master').find(isMaster) ?? cluster
}
