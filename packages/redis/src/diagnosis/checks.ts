import type { Finding } from '@stowage/core/tools'
import type { Probe } from './probe.ts'

type Check = (probe: Probe) => Finding[]

/** Problems of a server that should be a primary. */
export const checkPrimary: Check = ({ address, info }) => {
  if (info.get('role') !== 'slave') return []
  const primary = `${info.get('master_host')}:${info.get('master_port')}`
  return [
    {
      code: 'redis-not-primary',
      severity: 'error',
      subject: address,
      problem: `The server is a replica of ${primary}, so writes fail.`,
      remedy: `Use ${primary} as the primary, in REDIS_PRIMARY or REDIS_URL.`,
    },
  ]
}

/** Problems of a server that should be a replica of `primary`. */
export function checkReplica({ address, info }: Probe, primary: Probe): Finding[] {
  const subject = address
  // The primary is reported already. It may be the other way round.
  if (primary.info.get('role') === 'slave') return []
  const role = info.get('role')
  if (role === 'master') {
    const problem = `The server is not a replica of ${primary.address}, but a primary with data of its own.`
    const remedy = 'Remove it from REDIS_REPLICAS, or make it a replica with REPLICAOF.'
    return [{ code: 'redis-replica-is-primary', severity: 'error', subject, problem, remedy }]
  }
  if (role === 'slave' && info.get('master_link_status') !== 'up') {
    const problem = 'The replica is disconnected from its primary, and falls behind.'
    const remedy = 'Check the network between them, and masterauth on the replica.'
    return [{ code: 'redis-replica-disconnected', severity: 'warning', subject, problem, remedy }]
  }
  const [own, stream] = [info.get('master_replid'), primary.info.get('master_replid')]
  if (own === stream || own === undefined || stream === undefined) return []
  const problem = `The server is a replica, but not of ${primary.address}: it has other data.`
  const remedy = 'List only replicas of this primary in REDIS_REPLICAS.'
  return [{ code: 'redis-foreign-replica', severity: 'error', subject, problem, remedy }]
}

/** From this share of its memory on, a server that evicts nothing is about to refuse writes. */
const nearlyFull = 0.9

export const checkMemory: Check = ({ address, info }) => {
  const [used, limit] = [Number(info.get('used_memory')), Number(info.get('maxmemory'))]
  // When it is full, it refuses to write, which is another finding.
  const isNearlyFull = used > nearlyFull * limit && used < limit
  if (!isNearlyFull || info.get('maxmemory_policy') !== 'noeviction') return []
  return [
    {
      code: 'redis-memory',
      severity: 'warning',
      subject: address,
      problem: `The server uses ${Math.floor((used / limit) * 100)} % of its memory and evicts nothing: writes fail when it is full.`,
      remedy:
        'Raise maxmemory, or set maxmemory-policy to allkeys-lru on a server that holds no sessions.',
    },
  ]
}

/** Sessions expire, so every policy but `noeviction` may evict them. */
export const checkEviction: Check = ({ address, info }) => {
  const policy = info.get('maxmemory_policy')
  if (policy === undefined || policy === 'noeviction') return []
  const isLimited = info.get('maxmemory') !== '0'
  // A server without a limit evicts nothing. With volatile-… that is how servers for caches are often set up.
  if (!isLimited && !policy.startsWith('allkeys')) return []
  const when = isLimited ? 'when its memory is full' : 'as soon as maxmemory is set'
  return [
    {
      code: 'eviction',
      severity: 'warning',
      subject: address,
      problem: `The server evicts sessions (${policy}) ${when}: users are signed out.`,
      remedy:
        'Set maxmemory-policy to noeviction, or give sessions a server of their own: SESSION_REDIS_URL.',
    },
  ]
}

/** A node of a cluster that is used as a single server. */
export const checkSingle: Check = ({ address, info }) => {
  if (info.get('cluster_enabled') !== '1') return []
  return [
    {
      code: 'redis-cluster-node',
      severity: 'error',
      subject: address,
      problem: 'The server is a node of a cluster, but is used as a single server.',
      remedy: `Set REDIS_CLUSTER_NODES=${address}.`,
    },
  ]
}
