import { type NodeAddress, nodeName } from '../node-address.ts'

/** Endpoints the process was told of: a cache and a session store may share one. */
const noticed = new Set<string>()

/** Warns, once, that the endpoint is the only node; `error` is the reason where it did not say so itself. */
export function noticePlain(endpoint: NodeAddress, error: Error | undefined): void {
  const name = nodeName(endpoint)
  if (noticed.has(name)) return
  noticed.add(name)
  const reason = error?.message ?? `${name} has no cluster configuration, as a plain memcached`
  process.emitWarning(`${reason}. It is used as the only node.`, {
    type: 'StowageWarning',
    code: 'STOWAGE_PLAIN_MEMCACHED',
  })
}
