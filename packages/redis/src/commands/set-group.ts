import { BatchError, type Payload } from '@stowage/core'
import { exceeds } from '@stowage/core/driver'
import { type Argument, type CommandClient, SetFailures } from '../protocol/command-client.ts'
import { translate } from '../redis-errors.ts'
import { toArgument } from './arguments.ts'
import { setEach } from './scripts.ts'

/**
 * Maximum size of a value that a script sets. For small values a script halves the work of this process and costs the
 * server half as much again. It copies and hashes its arguments, so from a few hundred bytes on that does not pay.
 */
const maxBytesInScript = 256

type Payloads = ReadonlyMap<string, Payload>

/**
 * Items with a ttl that are stored together: MSET takes no expiry before Redis 8.4. If it is sent a second time, only
 * the items that have not been stored are sent.
 */
export class SetGroup {
  readonly #keys: readonly string[]
  readonly #payloads: Payloads
  readonly #ttl: number
  /** The keys whose items have not been stored. */
  #remainingKeys: readonly string[]
  #failures: ReadonlyMap<string, unknown> = new Map()

  constructor(keys: readonly string[], payloads: Payloads, ttl: number) {
    this.#keys = keys
    this.#payloads = payloads
    this.#ttl = ttl
    this.#remainingKeys = keys
  }

  /** Rejects with the last failure: that of the connection, if it was lost in between. */
  async send(client: CommandClient): Promise<void> {
    const send = client.setEach === undefined ? setWithScript : setDirectly
    this.#assertStored(await send(client, this.#remainingKeys, this.#payloads, this.#ttl))
  }

  /** The same with one command per key, for keys whose slot is being migrated. */
  async sendSingly(client: CommandClient): Promise<void> {
    const failures = new Map<string, unknown>()
    await setOneByOne(client, this.#remainingKeys, this.#payloads, this.#ttl, failures)
    this.#assertStored(failures)
  }

  #assertStored(failures: Failures): void {
    if (failures === undefined || failures.size === 0) return
    this.#failures = failures
    this.#remainingKeys = this.#remainingKeys.filter((key) => failures.has(key))
    throw [...failures.values()].at(-1)
  }

  /** The error of the group, which failed with `error`. If only some items failed, it has the outcome of each. */
  errorFor(error: unknown): unknown {
    if (
      this.#remainingKeys.length === this.#keys.length &&
      new Set(this.#failures.values()).size <= 1
    )
      return error
    return new BatchError(
      this.#keys.map((key) =>
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

type Failures = ReadonlyMap<string, unknown> | undefined

async function setDirectly(
  client: CommandClient,
  keys: readonly string[],
  payloads: Payloads,
  ttl: number,
): Promise<Failures> {
  const pairs: Argument[] = []
  for (const key of keys) pairs.push(key, argumentOf(payloads, key))
  try {
    await client.setEach?.(pairs, ttl)
    return undefined
  } catch (error) {
    if (!(error instanceof SetFailures)) throw error
    return new Map([...error.byIndex].map(([index, failure]) => [keys[index] as string, failure]))
  }
}

/** Small values in one script, large ones separately. */
async function setWithScript(
  client: CommandClient,
  keys: readonly string[],
  payloads: Payloads,
  ttl: number,
): Promise<Failures> {
  const isLarge = (key: string) => exceeds(argumentOf(payloads, key), maxBytesInScript)
  const small = keys.filter((key) => !isLarge(key))
  const large = keys.filter(isLarge)
  const failures = new Map<string, unknown>()
  await Promise.all([
    runScript(client, small, payloads, ttl, failures),
    setOneByOne(client, large, payloads, ttl, failures),
  ])
  return failures.size === 0 ? undefined : failures
}

/** A script fails as a whole if it may not set one of the keys. */
async function runScript(
  client: CommandClient,
  keys: readonly string[],
  payloads: Payloads,
  ttl: number,
  failures: Map<string, unknown>,
): Promise<void> {
  if (keys.length < 2) return setOneByOne(client, keys, payloads, ttl, failures)
  const args = [...keys, String(ttl), ...keys.map((key) => argumentOf(payloads, key))]
  try {
    await setEach.runForKeys(client, keys.length, args)
  } catch (error) {
    if ((error as Error).name === 'ReplyError') {
      return setOneByOne(client, keys, payloads, ttl, failures)
    }
    for (const key of keys) failures.set(key, error)
  }
}

async function setOneByOne(
  client: CommandClient,
  keys: readonly string[],
  payloads: Payloads,
  ttl: number,
  failures: Map<string, unknown>,
): Promise<void> {
  const set = (key: string) =>
    client
      .set(key, argumentOf(payloads, key), 'PX', ttl)
      .catch((error) => void failures.set(key, error))
  await Promise.all(keys.map(set))
}

function argumentOf(payloads: Payloads, key: string): Argument {
  return toArgument(payloads.get(key) as Payload)
}
