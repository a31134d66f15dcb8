import type { Connection } from '../../src/connection/connection.ts'

type Info = string | Error

/** What `INFO replication` replies. */
export function infoOf({ role = 'slave', link = 'up', offset = 5, replicas = 0 } = {}): string {
  return [
    `role:${role}`,
    `master_link_status:${link}`,
    `slave_repl_offset:${offset}`,
    `connected_slaves:${replicas}`,
    'master_replid:stream',
    `master_repl_offset:${offset}`,
    'repl_backlog_active:0',
  ].join('\r\n')
}

/** A connection without a server, which a test opens and closes. */
export class FakeConnection {
  isConnected = true
  isClosed = false
  /** How many commands have begun and not ended. */
  inFlight = 0
  info: Info = infoOf()
  infos = 0
  readonly client = {
    info: async () => {
      this.infos++
      if (this.info instanceof Error) throw this.info
      return this.info
    },
  }
  readonly #listeners: ((connected: boolean) => void)[] = []
  /** Of the client. */
  node: unknown

  constructor(node?: unknown) {
    this.node = node
  }

  /** As the type that the product has. */
  get connection(): Connection {
    return this as unknown as Connection
  }

  get listeners(): number {
    return this.#listeners.length
  }

  tryConnect(): boolean {
    return this.isConnected
  }

  async ready(): Promise<void> {}

  beginCommand(): unknown {
    this.inFlight++
    return this.client
  }

  endCommand(): void {
    this.inFlight--
  }

  onStateChange(listener: (connected: boolean) => void): void {
    this.#listeners.push(listener)
  }

  change(isConnected: boolean): void {
    this.isConnected = isConnected
    for (const listener of this.#listeners) listener(isConnected)
  }

  async close(): Promise<void> {
    this.isClosed = true
  }
}
