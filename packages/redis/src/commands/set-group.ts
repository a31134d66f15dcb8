import { BatchError, exceeds } from '@stowage/core/driver'
import { type CommandClient, SetFailures } from '../protocol/command-client.ts'
import { translate } from '../redis-errors.ts'
import { type Entries, type Entry, toArgument, toPairs } from './basic-commands.ts'
import { setEach } from './scripts.ts'

/**
 * Maximum size of a value that a script sets. For small values a script halves the work of this process and costs the
 * server half as much again. It copies and hashes its arguments, so from a few hundred bytes on that does not pay.
 */
const maxBytesInScript = 256

/**
 * Items with a ttl that are stored together: MSET takes no expiry before Redis 8.4. If it is sent a second time, only
 * the items that have not been stored are sent.
 */
export class SetGroup {
  readonly #entries: Entries
  readonly #ttl: number
  /** The entries that have not been stored. */
  #remaining: Entries
  #failures: ReadonlyMap<string, unknown> = new Map()

  constructor(entries: Entries, ttl: number) {
    this.#entries = entries
    this.#ttl = ttl
    this.#remaining = entries
  }

  /** Rejects with the last failure: that of the connection, if it was lost in between. */
  async send(client: CommandClient): Promise<void> {
    const send = client.setEach === undefined ? setWithScript : setDirectly
    this.#assertStored(await send(client, this.#remaining, this.#ttl))
  }

  /** The same with one command per key, for keys whose slot is being migrated. */
  async sendSingly(client: CommandClient): Promise<void> {
    const failures = new Map<string, unknown>()
    await setOneByOne(client, lastOfEachKey(this.#remaining), this.#ttl, failures)
    this.#assertStored(failures)
  }

  #assertStored(failures: Failures): void {
    if (failures === undefined || failures.size === 0) return
    this.#failures = failures
    // With a repeated key, all its entries: the last one must be stored last.
    this.#remaining = this.#remaining.filter(([key]) => failures.has(key))
    throw [...failures.values()].at(-1)
  }

  /** The error of the group, which failed with `error`. If only some items failed, it has the outcome of each. */
  errorFor(error: unknown): unknown {
    if (
      this.#remaining.length === this.#entries.length &&
      new Set(this.#failures.values()).size <= 1
    )
      return error
    return new BatchError(
      this.#entries.map(([key]) =>
        this.#failures.has(key)
          ? { status: 'rejected', reason: this.#reasonOf(key, error) }
          : { status: 'fulfilled', value: undefined },
      ),
    )
  }

  /** An error reply concerns its key. For a lost connection, `error` has the reason. */
  #reasonOf(key: string, error: unknown): unknown {
    const failure = this.#failures.get(key)
    const isReply = (failure as Error).name === 'ReplyError'
    return isReply ? translate(failure, 'setMany', key) : error
  }
}

/** Without the items that later ones of their keys replace: the commands of one group may overtake each other. */
export function lastOfEachKey(entries: Entries): Entries {
  return [...new Map(entries)]
}

/** By key. */
type Failures = ReadonlyMap<string, unknown> | undefined

async function setDirectly(
  client: CommandClient,
  entries: Entries,
  ttl: number,
): Promise<Failures> {
  try {
    await client.setEach?.(toPairs(entries), ttl)
    return undefined
  } catch (error) {
    if (!(error instanceof SetFailures)) throw error
    return new Map([...error.byIndex].map(([index, failure]) => [keyAt(entries, index), failure]))
  }
}

function keyAt(entries: Entries, index: number): string {
  return (entries[index] as Entry)[0]
}

/** Small values in one script, large ones separately. */
async function setWithScript(
  client: CommandClient,
  entries: Entries,
  ttl: number,
): Promise<Failures> {
  const last = lastOfEachKey(entries)
  const small = last.filter(([, item]) => !exceeds(item, maxBytesInScript))
  const large = last.filter(([, item]) => exceeds(item, maxBytesInScript))
  const failures = new Map<string, unknown>()
  await Promise.all([
    runScript(client, small, ttl, failures),
    setOneByOne(client, large, ttl, failures),
  ])
  return failures.size === 0 ? undefined : failures
}

/** A script fails as a whole if it may not set one of the keys. */
async function runScript(
  client: CommandClient,
  entries: Entries,
  ttl: number,
  failures: Map<string, unknown>,
): Promise<void> {
  if (entries.length < 2) return setOneByOne(client, entries, ttl, failures)
  const keys = entries.map(([key]) => key)
  const args = [...keys, String(ttl), ...entries.map(([, item]) => toArgument(item))]
  try {
    await setEach.runForKeys(client, keys.length, args)
  } catch (error) {
    if ((error as Error).name === 'ReplyError') {
      return setOneByOne(client, entries, ttl, failures)
    }
    for (const key of keys) failures.set(key, error)
  }
}

async function setOneByOne(
  client: CommandClient,
  entries: Entries,
  ttl: number,
  failures: Map<string, unknown>,
): Promise<void> {
  const set = ([key, item]: Entry) =>
    client.set(key, toArgument(item), 'PX', ttl).catch((error) => void failures.set(key, error))
  await Promise.all(entries.map(set))
}
