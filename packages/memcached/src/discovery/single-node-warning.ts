import { type NodeAddress, nodeName } from '../node-address.ts'

/** Endpoints that were warned about. A cache and a session store may use the same endpoint. */
const warned = new Set<string>()

/**
 * Emits a process warning, once per endpoint, that the endpoint is used as the only node. `error` is the reason; it is
 * `undefined` if the endpoint replied that it has no configuration.
 */
export function warnSingleNode(endpoint: NodeAddress, error: Error | undefined): void {
  const name = nodeName(endpoint)
  if (warned.has(name)) return
  warned.add(name)
  const reason = error?.message ?? `memcached: ${name} has no cluster configuration`
  process.emitWarning(`${reason}. The endpoint is used as the only node.`, {
    type: 'StowageWarning',
    code: 'STOWAGE_MEMCACHED_SINGLE_NODE',
  })
}
