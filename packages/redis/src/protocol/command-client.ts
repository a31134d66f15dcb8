import type { Cluster, Redis } from 'ioredis'

/**
 * An argument of a command, or a value in a reply. ioredis sends strings and Buffers as they are; it would convert a
 * Uint8Array to text.
 *
 * @see https://redis.io/docs/latest/develop/reference/protocol-spec/#bulk-strings
 */
export type BulkString = string | Buffer

export type SetOptions = [] | ['PX', number] | ['NX'] | ['PX', number, 'NX']

/** The commands that the store sends. The clients of ioredis have all of them but `setEach` and `nodeFor`. */
export interface CommandClient {
  /** The value as bytes, or as text with the same bytes. */
  getBuffer(key: string): Promise<BulkString | null>
  mgetBuffer(keys: string[]): Promise<(BulkString | null)[]>
  set(key: string, value: BulkString): Promise<'OK'>
  set(key: string, value: BulkString, px: 'PX', ttl: number): Promise<'OK'>
  set(key: string, value: BulkString, nx: 'NX'): Promise<'OK' | null>
  set(key: string, value: BulkString, px: 'PX', ttl: number, nx: 'NX'): Promise<'OK' | null>
  mset(pairs: BulkString[]): Promise<'OK'>
  unlink(...keys: string[]): Promise<number>
  pexpire(key: string, ttl: number): Promise<number>
  pttl(key: string): Promise<number>
  evalsha(digest: string, keyCount: number, ...args: BulkString[]): Promise<unknown>
  /** Any command for one key. */
  call(command: string, key: string, ...args: BulkString[]): Promise<unknown>
  /** Executes commands for one key together, none of others in between. Its replies are pairs of an error and a reply. */
  multi(commands: unknown[][]): { exec(): Promise<[error: Error | null, reply: unknown][] | null> }
  eval(source: string, keyCount: number, ...args: BulkString[]): Promise<unknown>
  scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    size: number,
  ): Promise<[cursor: string, keys: string[]]>
  flushdb(mode: 'ASYNC'): Promise<'OK'>
  ping(): Promise<string>
  time(): Promise<(number | string)[]>
  /**
   * Sends a SET for each pair of a key and a value. Resolves when all have succeeded, and rejects with a
   * {@link SetFailures} otherwise. Absent where a script is faster.
   */
  setEach?(pairs: readonly BulkString[], ttl: number): Promise<void>
  /** The client of the server that a command for the key is sent to. Absent from the clients of ioredis. */
  nodeFor?(key: string): Redis | Cluster
}

/** The errors of a `setEach`, by the position of the pair. The other pairs have been stored. */
export class SetFailures extends Error {
  override readonly name: string = 'SetFailures'
  readonly byIndex: ReadonlyMap<number, unknown>

  constructor(byIndex: ReadonlyMap<number, unknown>) {
    super(`${byIndex.size} entries were not stored`)
    this.byIndex = byIndex
  }
}
