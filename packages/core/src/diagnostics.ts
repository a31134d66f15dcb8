/** A problem that a check of a backend or of the configuration has found, and its remedy. Contains no secrets. */
export interface Finding {
  /** Identifies the kind of problem, such as `redis-not-primary`. Codes are stable, texts are not. */
  readonly code: string
  /** `'error'`: something fails, or will. `'warning'`: it works, with a risk. */
  readonly severity: 'error' | 'warning'
  /** What the finding is about: an address, the name of a table or of a variable. */
  readonly subject: string
  /** What is wrong, as a sentence. */
  readonly problem: string
  /** What to do about it, as a sentence. */
  readonly remedy: string
}

/** What a check has found out about one server or table. */
export interface ServerReport {
  /** `host:port`, or the name of a table. */
  readonly address: string
  /** Such as `primary`, `replica`, `node` or `table`. */
  readonly role: string
  readonly isReachable: boolean
  /** Median duration of a round trip, in milliseconds; absent if it is not reachable. */
  readonly latencyMs?: number | undefined
  /** Further facts, such as the version, each with a short name. */
  readonly facts: Readonly<Record<string, string | number>>
}

export interface BackendReport {
  readonly servers: readonly ServerReport[]
  readonly findings: readonly Finding[]
}

export interface CheckOptions {
  /** Whether the store holds sessions, which must not be evicted. @default false */
  readonly holdsSessions?: boolean | undefined
  /** Prefix of the keys that the cache writes. A check tests whether they may be written. @default '' */
  readonly prefix?: string | undefined
}

/** What a store keeps in the memory of this process. */
export interface StoreUsage {
  /** The number of entries, including those that have expired and were not read since. */
  readonly entries: number
  /** The size of their keys and values. `undefined` if the store does not count it. */
  readonly bytes: number | undefined
}

/** What a store offers to tools. It never changes stored items. */
export interface StoreDiagnostics {
  /**
   * Connects to every server of the backend, on connections of its own, and reports what is wrong. Settles in bounded
   * time, and rejects only for invalid arguments: an unreachable server is a finding.
   */
  check(options?: CheckOptions): Promise<BackendReport>
  /** Returns where the item of a storage key is stored: the address of a server, or the name of a table. */
  locate?(key: string): Promise<string>
  /** Returns how much the store keeps in the memory of this process. Absent where it keeps nothing there. */
  usage?(): StoreUsage
}

/**
 * Returns the report of a backend that has no diagnostics, from a ping.
 *
 * @param address of the store, for the report
 * @example
 * const { servers } = await pingReport('this process', () => store.ping())
 * console.log(servers[0]?.isReachable) // true
 */
export async function pingReport(address: string, ping: () => unknown): Promise<BackendReport> {
  const server = { address, role: 'store', facts: {} }
  const startedAt = performance.now()
  try {
    await ping()
    const latencyMs = performance.now() - startedAt
    return { servers: [{ ...server, isReachable: true, latencyMs }], findings: [] }
  } catch (error) {
    return {
      servers: [{ ...server, isReachable: false }],
      findings: [failureFinding(address, error)],
    }
  }
}

/** The difference of two clocks from which a check reports it, in milliseconds. */
export const maxClockSkewMs = 2_000

/**
 * Returns the finding for a server whose clock differs from that of this machine, or `undefined` if they agree.
 *
 * @param serverTime the time of the server when it replied, in epoch milliseconds
 * @param uncertaintyMs by how much that may be wrong
 * @example
 * const finding = clockSkewFinding('127.0.0.1:6379', Date.now() + 60_000, 5)
 * console.log(finding?.problem) // The clock of this machine is 60 s behind that of the server.
 */
export function clockSkewFinding(
  address: string,
  serverTime: number,
  uncertaintyMs: number,
): Finding | undefined {
  const skew = Date.now() - serverTime
  if (Math.abs(skew) <= maxClockSkewMs + uncertaintyMs) return undefined
  const seconds = Math.round(Math.abs(skew) / 1_000)
  const direction = skew > 0 ? 'ahead of' : 'behind'
  return {
    code: 'clock-skew',
    severity: 'warning',
    subject: address,
    problem: `The clock of this machine is ${seconds} s ${direction} that of the server.`,
    remedy:
      'Synchronise the clocks with NTP. Stale windows, cookies and signatures depend on them.',
  }
}

/**
 * Returns the finding for a server or table that cannot be used because of `error`, which the driver has translated.
 * Another `code` and `remedy` replace the usual ones.
 *
 * @example
 * try {
 *   await store.ping()
 * } catch (error) {
 *   console.log(failureFinding('127.0.0.1:6379', error).code) // unreachable
 * }
 */
export function failureFinding(
  subject: string,
  error: unknown,
  {
    code = 'unreachable',
    remedy = remedyOf(error as Error),
  }: { readonly code?: string | undefined; readonly remedy?: string | undefined } = {},
): Finding {
  return { code, severity: 'error', subject, problem: problemOf(error as Error), remedy }
}

/** What system errors mean, by a part of their message. */
const knownReasons: readonly (readonly [pattern: RegExp, problem: string])[] = [
  [/ECONNREFUSED/, 'Nothing accepts connections at this address (ECONNREFUSED).'],
  [/ENOTFOUND|EAI_AGAIN/, 'The host name cannot be resolved.'],
  [/before the deadline/, 'The server did not reply in time.'],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/, 'The host cannot be reached.'],
]

function remedyOf({ message }: Error): string {
  return /certificate/i.test(message)
    ? 'Let Node trust the authority that signed it: NODE_EXTRA_CA_CERTS=ca.pem, or the TLS option of the driver. The certificate must be valid, and name the host.'
    : 'Check the address, that the server runs, and that no firewall is in between.'
}

function problemOf({ message }: Error): string {
  const known = knownReasons.find(([pattern]) => pattern.test(message))
  if (known !== undefined) return known[1]
  const reason = message.replace(/^\w+ \w+ failed: /, '')
  const sentence = `${reason.charAt(0).toUpperCase()}${reason.slice(1)}`
  return sentence.endsWith('.') ? sentence : `${sentence}.`
}
