import { freePort, isPortFree, startOnPort } from '../process/ports.ts'
import { everyAsync, waitUntil } from '../process/wait-until.ts'
import { addressOf, commandOrThrow, host, type RedisAddress } from './redis-client.ts'
import type { RedisServer } from './redis-server.ts'
import { promptSync } from './replicated.ts'
import type { RedisReply } from './resp.ts'
import { startServerGroup } from './server-group.ts'

const slotCount = 16_384
// A node listens on a second port, the cluster bus, which is higher by this number.
const busPortOffset = 10_000

export interface Cluster {
  /** The primaries, then the replicas of the first primary, then those of the second, and so on. */
  readonly nodes: RedisServer[]
  readonly addresses: RedisAddress[]
  /** Stops all nodes. Idempotent. */
  readonly stop: () => Promise<void>
}

export interface ClusterOptions {
  /** A cluster of fewer than three does not promote a replica. @default 3 */
  readonly primaries?: number
  /** @default 0 */
  readonly replicasPerPrimary?: number
  /** `cluster-node-timeout`. @default 2_000 */
  readonly nodeTimeoutMs?: number
  /** Further settings of every node as command line arguments. */
  readonly args?: readonly string[]
}

/**
 * Starts a Redis Cluster. Resolves when every node has the complete slot map. A restarted node is empty and not a
 * member of the cluster: use SIGSTOP and SIGCONT to make a node fail and return.
 */
export function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { primaries = 3, replicasPerPrimary = 0 } = options
  const nodeCount = primaries * (1 + replicasPerPrimary)
  const args = nodeArgs(options)
  return startServerGroup(async (group) => {
    const startNode = () => startOnPort(freeNodePort, (port) => group.start({ port, args }))
    const nodes = await Promise.all(Array.from({ length: nodeCount }, startNode))
    const ports = nodes.map(({ port }) => port)
    await assignSlots(ports.slice(0, primaries))
    await introduceNodes(ports)
    await assignReplicas(ports, primaries, replicasPerPrimary)
    await waitUntil('every node has the complete slot map', () =>
      everyAsync(ports, (port) => hasCompleteSlotMap(port, nodeCount, replicasPerPrimary)),
    )
    return { nodes, addresses: ports.map(addressOf), stop: group.stop }
  })
}

function nodeArgs({ nodeTimeoutMs = 2_000, args = [] }: ClusterOptions): string[] {
  const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', `${nodeTimeoutMs}`]
  // Other nodes list a replica after its first replicated byte, by default that of a ping after 10 s.
  const replication = [...promptSync, '--repl-ping-replica-period', '1']
  return [...cluster, ...replication, ...args]
}

/** Resolves to a free port whose bus port is free as well. */
function freeNodePort(): Promise<number> {
  return waitUntil('a port for a cluster node is free', async () => {
    const port = await freePort()
    return (await isPortFree(port + busPortOffset)) && port
  })
}

async function assignSlots(primaries: readonly number[]): Promise<void> {
  for (const [index, port] of primaries.entries()) {
    const first = Math.ceil((slotCount * index) / primaries.length)
    const end = Math.ceil((slotCount * (index + 1)) / primaries.length)
    const slots = Array.from({ length: end - first }, (_, offset) => first + offset)
    // ADDSLOTSRANGE requires Redis 7.
    await commandOrThrow(port, 'CLUSTER', 'ADDSLOTS', ...slots)
    // Primaries with equal epochs would have to resolve the collision first, which takes time.
    await commandOrThrow(port, 'CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
  }
}

/** Makes each node meet each other node: discovery by gossip takes seconds. */
async function introduceNodes(ports: readonly number[]): Promise<void> {
  for (const [index, port] of ports.entries())
    for (const other of ports.slice(index + 1))
      await commandOrThrow(port, 'CLUSTER', 'MEET', host, other)
}

async function assignReplicas(
  ports: readonly number[],
  primaries: number,
  replicasPerPrimary: number,
): Promise<void> {
  for (const [index, replica] of ports.slice(primaries).entries()) {
    const primary = ports[Math.floor(index / replicasPerPrimary)] as number
    const id = `${await commandOrThrow(primary, 'CLUSTER', 'MYID')}`
    // The command fails until the node has met the primary.
    await waitUntil(`node ${replica} replicates ${primary}`, () =>
      commandOrThrow(replica, 'CLUSTER', 'REPLICATE', id),
    )
  }
}

async function hasCompleteSlotMap(
  port: number,
  nodeCount: number,
  replicasPerPrimary: number,
): Promise<boolean> {
  const info = `${await commandOrThrow(port, 'CLUSTER', 'INFO')}`
  const isOk = info.includes('cluster_state:ok')
  const hasMetAll = info.includes(`cluster_known_nodes:${nodeCount}\r`)
  const ranges = (await commandOrThrow(port, 'CLUSTER', 'SLOTS')) as RedisReply[][]
  const slots = ranges.reduce((sum, [first, last]) => sum + Number(last) - Number(first) + 1, 0)
  // A replica is listed once it has data and clients can read from it.
  const listsReplicas = ranges.every(([, , ...nodes]) => nodes.length === 1 + replicasPerPrimary)
  return isOk && hasMetAll && slots === slotCount && listsReplicas
}
