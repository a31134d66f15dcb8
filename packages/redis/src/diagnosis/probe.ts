import type { CacheError } from '@stowage/core'
import { withDeadline } from '@stowage/core/driver'
import { clockSkewFinding, failureFinding } from '@stowage/core/internal'
import type { Finding, ServerReport } from '@stowage/core/tools'
import type { Redis } from 'ioredis'
import type { Connection } from '../connection/connection.ts'
import { capabilitiesOf } from '../protocol/server.ts'
import { translate } from '../redis-errors.ts'
import { checkWrite } from './write-check.ts'

const pings = 5

/** What a server has replied. `info` is empty if the user lacks the permission for INFO. */
export interface Probe {
  readonly address: string
  readonly isReachable: boolean
  /** `undefined` if the server refuses the connection, or is not reachable. */
  readonly latencyMs: number | undefined
  readonly info: ReadonlyMap<string, string>
  /** How a value is compared and replaced, on a server that is written to. */
  readonly compareAndSet?: 'SET IFEQ' | 'script' | undefined
  readonly findings: readonly Finding[]
}

/**
 * Connects to a server, measures the round trip and reads its state. Never rejects. Closes the connection.
 *
 * @param missingKey a key that does not exist, and that the server should be able to write
 */
export async function probe(
  address: string,
  connection: Connection,
  timeoutMs: number,
  missingKey?: string,
): Promise<Probe> {
  try {
    return await withDeadline(timeoutMs, () => readServer(address, connection, missingKey))
  } catch (error) {
    const finding = failureOf(address, translate(connection.commandFailed(error), 'ping'))
    const isReachable = finding.code !== 'unreachable'
    return { address, isReachable, latencyMs: undefined, info: new Map(), findings: [finding] }
  } finally {
    // Not awaited: a server that does not reply must not delay the report.
    void connection.close().catch(() => {})
  }
}

/** Runs commands between `begin` and `end`, which time them. */
export async function during<T>(connection: Connection, commands: () => Promise<T>): Promise<T> {
  await connection.ready()
  connection.beginCommand()
  try {
    return await commands()
  } finally {
    connection.endCommand()
  }
}

export function parseInfo(text: string): Map<string, string> {
  const fields = text.matchAll(/^([\w-]+):(.*?)\r?$/gm)
  return new Map([...fields].map(([, name = '', value = '']) => [name, value]))
}

/** The report on a server that has been probed. `role` is what it should be. */
export function reportOf({ info, ...probe }: Probe, role: string): ServerReport {
  const actual = info.get('role')
  const roles: Record<string, string> = { master: 'primary', slave: 'replica' }
  return {
    address: probe.address,
    role: actual === undefined ? role : (roles[actual] ?? actual),
    isReachable: probe.isReachable,
    latencyMs: probe.latencyMs,
    facts: {
      ...factsOf(info),
      ...(probe.compareAndSet !== undefined && { 'compare-and-set': probe.compareAndSet }),
    },
  }
}

async function readServer(
  address: string,
  connection: Connection,
  missingKey: string | undefined,
): Promise<Probe> {
  const { client } = connection
  return during(connection, async () => {
    const latencyMs = await medianPing(() => client.ping())
    const info = parseInfo(String(await client.info().catch(() => '')))
    const findings = await clockFindings(address, () => client.time() as Promise<unknown[]>)
    const permission = info.size === 0 ? [permissionFinding(address)] : []
    const capabilities = capabilitiesOf(client as Redis)
    await capabilities.known
    const isWritten = missingKey !== undefined
    const refused = isWritten ? await checkWrite(address, client, missingKey, capabilities) : []
    const way = capabilities.ifEqualCommand === undefined ? 'script' : 'SET IFEQ'
    const isReachable = true
    return {
      address,
      isReachable,
      latencyMs,
      info,
      compareAndSet: isWritten ? way : undefined,
      findings: [...permission, ...findings, ...refused],
    }
  })
}

async function medianPing(ping: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let count = 0; count < pings; count++) {
    const startedAt = performance.now()
    await ping()
    times.push(performance.now() - startedAt)
  }
  return times.sort((a, b) => a - b)[pings >> 1] as number
}

async function clockFindings(address: string, time: () => Promise<unknown[]>): Promise<Finding[]> {
  const startedAt = performance.now()
  // The user may lack the permission.
  const reply = await time().catch(() => undefined)
  if (reply === undefined) return []
  const [seconds, microseconds] = reply.map(Number)
  const serverTime = Number(seconds) * 1_000 + Number(microseconds) / 1_000
  return [clockSkewFinding(address, serverTime, performance.now() - startedAt) ?? []].flat()
}

/** The text of the server is not repeated, because it may contain arguments. */
function failureOf(address: string, error: CacheError): Finding {
  const reply = String((error.cause as Error | undefined)?.message)
  if (/^NOAUTH/.test(reply)) {
    return authentication(address, 'The server requires a password, and none is configured.')
  }
  if (/^WRONGPASS|invalid password|without any password/.test(reply)) {
    return authentication(address, 'The server rejects the user or the password.')
  }
  if (/RESP|Protocol error/.test(reply)) {
    const problem = 'The server does not speak the protocol of Redis.'
    const remedy = 'Check host and port in REDIS_URL. For memcached, set CACHE_DRIVER=memcached.'
    return { code: 'redis-protocol', severity: 'error', subject: address, problem, remedy }
  }
  if (/DB index|SELECT is not allowed/.test(reply)) {
    const problem = 'The server does not have the database of the URL.'
    const remedy = 'End REDIS_URL with a lower number; a cluster has only database 0.'
    return { code: 'redis-database', severity: 'error', subject: address, problem, remedy }
  }
  if (error.code !== 'ERR_CACHE_TIMEOUT') return failureFinding(address, error)
  const remedy =
    'Check the address, the load of the server, and whether it expects TLS: rediss:// if so, else redis://.'
  return failureFinding(address, error, { remedy })
}

function authentication(subject: string, problem: string): Finding {
  const remedy = 'Set user and password in REDIS_URL: redis://user:password@host:6379.'
  return { code: 'authentication', severity: 'error', subject, problem, remedy }
}

function permissionFinding(subject: string): Finding {
  return {
    code: 'redis-permission',
    severity: 'warning',
    subject,
    problem: 'The user may not run INFO, so role, replication and eviction are not known.',
    remedy: 'Allow it: ACL SETUSER <user> +info. The driver uses it to read from replicas.',
  }
}

function factsOf(info: ReadonlyMap<string, string>): Record<string, string> {
  const version = info.get('valkey_version') ?? info.get('redis_version')
  const used = info.get('used_memory_human')
  const limit = info.get('maxmemory') === '0' ? undefined : info.get('maxmemory_human')
  const policy = info.get('maxmemory_policy')
  return {
    ...(version !== undefined && { version }),
    ...(used !== undefined && {
      memory: limit === undefined ? used : `${used}/${limit.replace(/\.00/, '')}`,
    }),
    ...(policy !== undefined && { eviction: policy }),
  }
}
