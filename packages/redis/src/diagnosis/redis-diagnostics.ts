import { InFlight } from '@stowage/core/driver'
import { lagFact, lagFindings, measureLag, type ReplicationLag } from '@stowage/core/internal'
import type { BackendReport, CheckOptions, StoreDiagnostics } from '@stowage/core/tools'
import type { RedisOptions as ClientOptions } from 'ioredis'
import { replicaOptions, serverOptions } from '../connection/client-options.ts'
import { InjectedConnection } from '../connection/connection.ts'
import { ManagedConnection } from '../connection/managed-connection.ts'
import { readReplicationState } from '../consistency/replication-info.ts'
import type { RedisOptions, ResolvedOptions } from '../redis-options.ts'
import { checkEviction, checkMemory, checkPrimary, checkReplica, checkSingle } from './checks.ts'
import { checkCluster, locateInCluster } from './cluster-check.ts'
import { type Probe, probe, reportOf } from './probe.ts'
import { readSentinels } from './sentinel-check.ts'
import { missingKey } from './write-check.ts'

/** Returns the diagnostics of a store with these options. They open connections of their own. */
export function redisDiagnostics(
  options: RedisOptions,
  resolved: ResolvedOptions,
): StoreDiagnostics {
  const diagnosis = new Diagnosis(options, resolved)
  return {
    check: (checkOptions) => diagnosis.check(checkOptions),
    locate: (key) => diagnosis.locate(key),
  }
}

const lagRemedy = 'Check its CPU, its network and slow commands.'

class Diagnosis {
  readonly #options: RedisOptions
  readonly #resolved: ResolvedOptions
  /** For one server: the connection, and a dozen commands. */
  readonly #timeoutMs: number

  constructor(options: RedisOptions, resolved: ResolvedOptions) {
    this.#options = options
    this.#resolved = resolved
    this.#timeoutMs = resolved.connectTimeoutMs + 2 * resolved.timeoutMs
  }

  async check(checkOptions: CheckOptions = {}): Promise<BackendReport> {
    const { client, clusterNodes = [], sentinels = [], replicas = [] } = this.#options
    if (client !== undefined) return this.#checkInjected(checkOptions)
    if (clusterNodes.length > 0) {
      return checkCluster(clusterNodes, this.#connectTo, this.#timeoutMs, checkOptions)
    }
    if (sentinels.length > 0) return this.#checkBehindSentinels(checkOptions)
    const server = serverOptions(this.#options)
    const address = addressOf(server)
    return this.#checkReplicated(address, this.#connect(server), replicas, checkOptions)
  }

  async locate(key: string): Promise<string> {
    const { client, clusterNodes = [], sentinels = [] } = this.#options
    if (client !== undefined) return addressOfClient(client)
    if (clusterNodes.length > 0) return locateInCluster(key, clusterNodes, this.#connectTo)
    if (sentinels.length === 0) return addressOf(serverOptions(this.#options))
    return (await readSentinels(this.#options, this.#resolved)).primary ?? 'unknown'
  }

  readonly #connect = (server: ClientOptions) => new ManagedConnection(server, this.#resolved)

  /** With the user, the password and the TLS of the options. */
  readonly #connectTo = (address: string) => {
    return this.#connect(replicaOptions({ ...this.#options, clusterNodes: [] }, address))
  }

  async #checkInjected({ holdsSessions, prefix }: CheckOptions): Promise<BackendReport> {
    const { client } = this.#options
    const source = client as NonNullable<RedisOptions['client']>
    const connection = new InjectedConnection(source, new InFlight())
    const address = addressOfClient(source)
    const found = await probe(address, connection, this.#timeoutMs, missingKey(prefix))
    const isCluster = found.info.get('cluster_enabled') === '1'
    return {
      servers: [reportOf(found, 'primary')],
      findings: [
        ...found.findings,
        ...(isCluster ? [] : checkPrimary(found)),
        ...checkMemory(found),
        ...(holdsSessions ? checkEviction(found) : []),
      ],
    }
  }

  async #checkBehindSentinels(checkOptions: CheckOptions): Promise<BackendReport> {
    const { primary, replicas, findings } = await readSentinels(this.#options, this.#resolved)
    if (primary === undefined) return { servers: [], findings }
    const connection = this.#connectTo(primary)
    const report = await this.#checkReplicated(primary, connection, replicas, checkOptions)
    return { ...report, findings: [...findings, ...report.findings] }
  }

  async #checkReplicated(
    address: string,
    connection: ManagedConnection,
    replicas: readonly string[],
    { holdsSessions, prefix }: CheckOptions,
  ): Promise<BackendReport> {
    const primary = await probe(address, connection, this.#timeoutMs, missingKey(prefix))
    const reports = await Promise.all(replicas.map((each) => this.#checkReplica(each, primary)))
    return {
      servers: [reportOf(primary, 'primary'), ...reports.flatMap(({ servers }) => servers)],
      findings: [
        ...primary.findings,
        ...checkPrimary(primary),
        ...checkSingle(primary),
        ...checkMemory(primary),
        ...(holdsSessions ? checkEviction(primary) : []),
        ...reports.flatMap(({ findings }) => findings),
      ],
    }
  }

  async #checkReplica(replica: string, primary: Probe): Promise<BackendReport> {
    const server = replicaOptions(this.#options, replica)
    const found = await probe(addressOf(server), this.#connect(server), this.#timeoutMs)
    const problems = checkReplica(found, primary)
    const isLinked = found.info.get('role') === 'slave' && problems.length === 0
    const lag = isLinked ? await this.#lagOf(server, primary) : undefined
    const report = reportOf(found, 'replica')
    return {
      servers: [{ ...report, facts: { ...report.facts, ...lagFact(lag) } }],
      findings: [
        ...found.findings,
        ...problems,
        ...lagFindings('redis-replica-lag', found.address, lag, lagRemedy),
      ],
    }
  }

  async #lagOf(server: ClientOptions, primary: Probe): Promise<ReplicationLag | undefined> {
    const connection = this.#connect(server)
    try {
      await connection.ready()
      const offset = Number(primary.info.get('master_repl_offset'))
      return await measureLag(() => readReplicationState(connection), offset)
    } catch {
      return undefined
    } finally {
      void connection.close()
    }
  }
}

function addressOf({ host = '127.0.0.1', port = 6379 }: ClientOptions): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function addressOfClient(client: NonNullable<RedisOptions['client']>): string {
  const { options } = client as { readonly options?: ClientOptions }
  return options?.host === undefined ? 'the client of the application' : addressOf(options)
}
