import type { Finding } from '@stowage/core/tools'
import type { Connection } from '../connection/connection.ts'
import type { Capabilities } from '../protocol/server.ts'
import { replyCode } from '../redis-errors.ts'

/** The replies to a server that serves another slot, and to one that is a replica, which is another finding. */
const otherFindings = ['MOVED', 'ASK', 'CLUSTERDOWN', 'READONLY']

/** A key that no cache writes: it begins with `~`, which is escaped in the keys of an application. */
export function missingKey(prefix: string | undefined, number = 0): string {
  return `${prefix ?? ''}~check:${number}`
}

/**
 * Returns why the server refuses to write a key, which must not exist: a server checks SET with XX as every other write, and
 * then stores nothing. Scripts count unless the server has commands in place of them.
 */
export async function checkWrite(
  address: string,
  client: Connection['client'],
  missingKey: string,
  { mayEval }: Capabilities,
): Promise<Finding[]> {
  try {
    await client.set(missingKey, '', 'XX')
    if (mayEval) await client.eval('return 0', 1, missingKey)
    return []
  } catch (error) {
    const code = replyCode(error as Error)
    if (code === undefined) throw error
    return otherFindings.includes(code) ? [] : [refusal(address, code)]
  }
}

/** The text of the server is not repeated, because it may contain arguments. */
function refusal(subject: string, reply: string): Finding {
  const [problem, remedy] = refusals[reply] ?? [
    `The server refuses to write (${reply}).`,
    'Check its log.',
  ]
  return { code: 'redis-not-writable', severity: 'error', subject, problem, remedy }
}

const refusals: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  OOM: [
    'The memory of the server is full, and its policy evicts nothing: writes fail.',
    'Raise maxmemory, or set maxmemory-policy to allkeys-lru on a server that holds no sessions.',
  ],
  NOREPLICAS: [
    'Fewer replicas are connected than min-replicas-to-write demands: writes fail.',
    'Start the replicas, or set min-replicas-to-write to a lower number.',
  ],
  MISCONF: ['The server cannot save to its disk: writes fail.', 'Check its disk and its log.'],
  NOPERM: [
    'The user may not write the keys of this store, or not run scripts.',
    'Allow it: ACL SETUSER <user> ~<prefix>* +@read +@write +@scripting. Redis 8.4 and Valkey 9.0 need no scripts.',
  ],
}
