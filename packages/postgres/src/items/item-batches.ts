import type { CacheError, Payload } from '@stowage/core'
import { BatchError, notACounter, parseSafeInteger } from '@stowage/core/driver'
import type { Parameter, Row, Statement, StatementExecutor } from '../connections/statement.ts'
import { isOfOneKey, translate } from '../postgres-errors.ts'
import { bytesArray, doubleArray, integerArray, textArray } from './array-parameter.ts'
import type { ItemStatements } from './item-statements.ts'
import { toStoredKey } from './stored-key.ts'
import { type StoredPayload, toColumns } from './stored-payload.ts'
import type { Call, Outcomes } from './turn-queue.ts'

export interface WriteCall extends Call {
  readonly payload: StoredPayload
  readonly ttl: number | undefined
}

export interface CompareCall extends Call {
  readonly expected: StoredPayload
}

export interface CompareAndSetCall extends CompareCall, WriteCall {}

export interface IncrementCall extends Call {
  readonly by: number
  readonly ttl: number | undefined
}

export interface TouchCall extends Call {
  readonly ttl: number | undefined
}

/** Executes a batch of calls with one statement. No two calls have the same key. */
export class ItemBatches {
  readonly #executor: StatementExecutor
  readonly #statements: ItemStatements
  readonly #timeoutMs: number

  constructor(executor: StatementExecutor, statements: ItemStatements, timeoutMs: number) {
    this.#executor = executor
    this.#statements = statements
    this.#timeoutMs = timeoutMs
  }

  set(calls: readonly WriteCall[], operation = 'set'): Promise<Outcomes<void>> {
    return this.#run(operation, calls, this.#statements.set, writeParameters, () => undefined)
  }

  add(calls: readonly WriteCall[]): Promise<Outcomes<boolean>> {
    return this.#run('add', calls, this.#statements.add, writeParameters, isDefined)
  }

  compareAndSet(calls: readonly CompareAndSetCall[]): Promise<Outcomes<boolean>> {
    const parameters = (some: readonly CompareAndSetCall[]) => [
      ...writeParameters(some),
      ...payloadParameters(some.map(({ expected }) => expected)),
    ]
    const { compareAndSet } = this.#statements
    return this.#run('compareAndSet', calls, compareAndSet, parameters, isDefined)
  }

  compareAndDelete(calls: readonly CompareCall[]): Promise<Outcomes<boolean>> {
    const parameters = (some: readonly CompareCall[]) => [
      keysOf(some),
      ...payloadParameters(some.map(({ expected }) => expected)),
    ]
    const { compareAndDelete } = this.#statements
    return this.#run('compareAndSet', calls, compareAndDelete, parameters, isDefined)
  }

  async increment(calls: readonly IncrementCall[]): Promise<Outcomes<number>> {
    const parameters = (some: readonly IncrementCall[]) => [
      keysOf(some),
      integerArray(some.map(({ by }) => by)),
      doubleArray(some.map(({ ttl }) => ttl)),
    ]
    const { increment } = this.#statements
    const outcomes = await this.#run('increment', calls, increment, parameters, (row) =>
      row === undefined ? undefined : Number(row[1]),
    )
    return Promise.all(
      outcomes.map((outcome, index) =>
        outcome.status === 'fulfilled' && outcome.value === undefined
          ? this.#refusal(calls[index] as IncrementCall)
          : (outcome as PromiseSettledResult<number>),
      ),
    )
  }

  touch(calls: readonly TouchCall[]): Promise<Outcomes<boolean>> {
    const parameters = (some: readonly TouchCall[]) => [
      keysOf(some),
      doubleArray(some.map(({ ttl }) => ttl)),
    ]
    return this.#run('touch', calls, this.#statements.touch, parameters, isDefined)
  }

  /** Resolves to whether the item of each call existed and had not expired. */
  delete(calls: readonly Call[], operation = 'delete'): Promise<Outcomes<boolean>> {
    const parameters = (some: readonly Call[]) => [keysOf(some)]
    const wasAlive = (row: Row | undefined) => row?.[1] === 't'
    return this.#run(operation, calls, this.#statements.delete, parameters, wasAlive)
  }

  /** Why a counter was not incremented. */
  async #refusal({ key }: IncrementCall): Promise<PromiseRejectedResult> {
    try {
      const [row] = await this.#executor.run(this.#statements.get, [toStoredKey(key)])
      const isCounter = parseSafeInteger(row?.[0] ?? '') !== undefined
      const problem = isCounter
        ? 'the sum is not a safe integer'
        : 'the stored value is not an integer'
      return { status: 'rejected', reason: notACounter('postgres', key, problem) }
    } catch (error) {
      return { status: 'rejected', reason: translate(error, 'increment', key) }
    }
  }

  /** @param resultOf the result of a call, by the row with its key, which the server returns for some of them */
  async #run<C extends Call, T>(
    operation: string,
    calls: readonly C[],
    statement: Statement,
    parameters: (calls: readonly C[]) => readonly Parameter[],
    resultOf: (row: Row | undefined) => T,
  ): Promise<Outcomes<T>> {
    const execute = async (some: readonly C[], timeoutMs: number): Promise<T[]> => {
      const rows = await this.#executor.run(statement, parameters(some), timeoutMs)
      if (rows.length === 0) return some.map(() => resultOf(undefined))
      const byKey = new Map(rows.map((row) => [row[0], row]))
      return some.map(({ key }) => resultOf(byKey.get(toStoredKey(key))))
    }
    const startedAt = performance.now()
    try {
      return (await execute(calls, this.#timeoutMs)).map(fulfilled)
    } catch (error) {
      if (calls.length === 1 || !isOfOneKey(error)) {
        return calls.map(({ key }) => rejected(translate(error, operation, key)))
      }
      // The others of the batch must not share its failure.
      const leftMs = Math.max(1, this.#timeoutMs - (performance.now() - startedAt))
      return Promise.all(
        calls.map((call) =>
          execute([call], leftMs).then(
            ([result]) => fulfilled(result as T),
            (reason) => rejected(translate(reason, operation, call.key)),
          ),
        ),
      )
    }
  }
}

/** The number of bytes of a key and of a payload that are sent, about. */
export function sizeOf(key: string, ...payloads: readonly Payload[]): number {
  return payloads.reduce((sum, { length }) => sum + length, key.length)
}

export function writeCall(key: string, payload: Payload, ttl: number | undefined): WriteCall {
  return { key, bytes: sizeOf(key, payload), payload: toColumns(payload), ttl }
}

/** @throws BatchError if a call has failed */
export function resultsOf<T>(outcomes: Outcomes<T>): T[] {
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw new BatchError(outcomes)
    return outcome.value
  })
}

function keysOf(calls: readonly Call[]): Buffer {
  return textArray(calls.map(({ key }) => toStoredKey(key)))
}

function payloadParameters(payloads: readonly StoredPayload[]): [Buffer, Buffer] {
  return [
    textArray(payloads.map(({ text }) => text)),
    bytesArray(payloads.map(({ bytes }) => bytes)),
  ]
}

function writeParameters(calls: readonly WriteCall[]): Buffer[] {
  return [
    keysOf(calls),
    ...payloadParameters(calls.map(({ payload }) => payload)),
    doubleArray(calls.map(({ ttl }) => ttl)),
  ]
}

function isDefined(row: Row | undefined): boolean {
  return row !== undefined
}

function fulfilled<T>(value: T): PromiseFulfilledResult<T> {
  return { status: 'fulfilled', value }
}

function rejected(reason: CacheError): PromiseRejectedResult {
  return { status: 'rejected', reason }
}
