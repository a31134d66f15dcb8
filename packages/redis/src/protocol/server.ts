import slotOf from 'cluster-key-slot'
import type { Cluster, Redis } from 'ioredis'
import { isScriptRefused } from '../redis-errors.ts'
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

/** What a server offers besides the commands of Redis 6.2, and its user may do. */
export interface Capabilities {
  /**
   * The command that deletes a key with a given value: Redis 8.4 has DELEX, Valkey 9.0 has DELIFEQ. A server with one of
   * them also has SET with IFEQ.
   */
  ifEqualCommand: 'DELEX' | 'DELIFEQ' | undefined
  /** Whether scripts may be run. True until the contrary is known. */
  mayEval: boolean
  /** The digests of the scripts that were sent on this connection. */
  readonly sentScripts: Set<string>
  /** Settles once the server has been asked. Never rejects. */
  readonly known: Promise<void>
}

/** By socket: the next connection may lead to another server. */
const capabilities = new WeakMap<object, Capabilities>()

/** The capabilities of the server that a client is connected to, which is asked the first time. */
export function capabilitiesOf(client: Redis | Cluster): Capabilities {
  const connection = (client as Partial<Redis>).stream ?? client
  let found = capabilities.get(connection)
  if (found === undefined) {
    const known = Promise.resolve()
    found = { ifEqualCommand: undefined, mayEval: true, sentScripts: new Set(), known }
    // A cluster client sends commands that it does not know to any of its nodes.
    if (!isCluster(client)) Object.assign(found, { known: ask(client, found) })
    capabilities.set(connection, found)
  }
  return found
}

/** A server that refuses to tell is taken for an old one, and so is one whose client has no `call`, such as a mock. */
async function ask(client: Redis, found: Capabilities): Promise<void> {
  try {
    const reply = await client.call('COMMAND', 'INFO', 'DELEX', 'DELIFEQ')
    const [delex, delifeq] = reply as readonly unknown[]
    if (delex) found.ifEqualCommand = 'DELEX'
    else if (delifeq) found.ifEqualCommand = 'DELIFEQ'
    else return
    await client.eval('return 1', 0)
  } catch (error) {
    if (isScriptRefused(error)) found.mayEval = false
  }
}
