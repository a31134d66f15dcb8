import { failureFinding } from '@stowage/core/internal'
import type { BackendReport, CheckOptions, Finding, StoreDiagnostics } from '@stowage/core/tools'
import { ConfigurationSource } from '../discovery/configuration-source.ts'
import { type Hashing, hashRing } from '../hashing/hash-ring.ts'
import type { ResolvedOptions } from '../memcached-options.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { probeNode } from './probe-node.ts'

interface Topology {
  readonly nodes: readonly NodeAddress[]
  readonly findings: readonly Finding[]
}

/** Returns the diagnostics of a store with these options. They open connections of their own. */
export function memcachedDiagnostics(options: ResolvedOptions): StoreDiagnostics {
  return {
    check: (checkOptions) => check(options, checkOptions),
    locate: async (key) => {
      const { nodes } = await readTopology(options)
      const node = nodes.length > 0 && nodes[hashRing(options.hashing, nodes).indexOf(key)]
      return node ? nodeName(node) : 'unknown'
    },
  }
}

async function check(
  options: ResolvedOptions,
  { holdsSessions = false }: CheckOptions = {},
): Promise<BackendReport> {
  const { nodes, findings } = await readTopology(options)
  const shares = ringShares(options.hashing, nodes)
  const nodeOptions = { ...options, onStateChange: () => {} }
  const probes = await Promise.all(
    nodes.map((address, index) =>
      probeNode({ address, share: shares[index] ?? 0, holdsSessions }, nodeOptions),
    ),
  )
  return {
    servers: probes.map(({ server }) => server),
    findings: [...findings, ...probes.flatMap((probe) => probe.findings)],
  }
}

/** The nodes of the options, or those that the configuration endpoint lists. */
async function readTopology(options: ResolvedOptions): Promise<Topology> {
  const { servers, configurationEndpoint: endpoint, tls, connectTimeoutMs, timeoutMs } = options
  if (endpoint === undefined) return { nodes: servers, findings: [] }
  const closing = new AbortController().signal
  const source = new ConfigurationSource(
    { endpoint, tls, timeoutMs: connectTimeoutMs + timeoutMs },
    closing,
  )
  try {
    const { configuration } = await source.query([], true)
    if (configuration !== undefined) return { nodes: configuration.nodes, findings: [] }
    return withoutConfiguration(endpoint, options)
  } catch (error) {
    return { nodes: [], findings: [failureFinding(nodeName(endpoint), error)] }
  }
}

function withoutConfiguration(
  endpoint: NodeAddress,
  { ignoreClusterErrors }: ResolvedOptions,
): Topology {
  const name = nodeName(endpoint)
  const consequence = ignoreClusterErrors
    ? 'it is used as the only node'
    : 'its nodes cannot be discovered'
  const finding: Finding = {
    code: 'memcached-no-configuration',
    severity: ignoreClusterErrors ? 'warning' : 'error',
    subject: name,
    problem: `The server is a plain memcached, not a configuration endpoint: ${consequence}.`,
    remedy: `Set MEMCACHED_SERVERS=${name}, or use the configuration endpoint of the cluster (….cfg.….amazonaws.com).`,
  }
  return { nodes: ignoreClusterErrors ? [endpoint] : [], findings: [finding] }
}

/** Enough for shares within half a percent. */
const sampledKeys = 20_000

/** Returns the share of the keys that each node stores, from 0 to 1, measured with keys like those of applications. */
function ringShares(hashing: Hashing, nodes: readonly NodeAddress[]): number[] {
  if (nodes.length === 0) return []
  const ring = hashRing(hashing, nodes)
  const counts = nodes.map(() => 0)
  for (let index = 0; index < sampledKeys; index++) {
    const node = ring.indexOf(`cache:sample:${index}`)
    counts[node] = (counts[node] ?? 0) + 1
  }
  return counts.map((count) => count / sampledKeys)
}
