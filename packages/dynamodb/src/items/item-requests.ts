import { randomBytes } from 'node:crypto'
import type { ConditionalCheckFailedException, UpdateItemOutput } from '@aws-sdk/client-dynamodb'
import type { Item } from '../attributes.ts'
import { isConditionFailure } from '../dynamodb-errors.ts'
import { internalNames } from '../dynamodb-options.ts'
import type { RequestContext, RequestSender } from '../requests/request-sender.ts'
import type { Actions } from '../transport/actions.ts'
import type { Condition } from './conditions.ts'

/** Requests for a single item of the table. */
export class ItemRequests {
  readonly #sender: RequestSender
  readonly #keyName: string
  /** Unique to this process; with the count of its writes it makes a write id. */
  readonly #writerId = randomBytes(9).toString('base64url')
  #writeCount = 0

  constructor(sender: RequestSender, keyName: string) {
    this.#sender = sender
    this.#keyName = keyName
  }

  async get(operation: string, key: string, isStrong: boolean): Promise<Item | undefined> {
    const input = { ...this.#locate(key), ConsistentRead: isStrong }
    return (await this.#sender.send('GetItem', input, { operation, key })).Item
  }

  async put(operation: string, key: string, item: Item): Promise<void> {
    const input = { TableName: this.#sender.target.table, Item: item }
    await this.#sender.send('PutItem', input, { operation, key })
  }

  /** Puts the item and returns the replaced one. That is the new item itself if the reply to a first attempt was lost. */
  async getAndPut(operation: string, key: string, item: Item): Promise<Item | undefined> {
    const { table } = this.#sender.target
    const input = { TableName: table, Item: item, ReturnValues: 'ALL_OLD' } as const
    return (await this.#sender.send('PutItem', input, { operation, key })).Attributes
  }

  /**
   * Puts the item if the condition holds. The item carries the id of this write: after an attempt with an unknown outcome
   * the condition may fail because that attempt succeeded, and the id in the stored item proves it.
   */
  async putIf(operation: string, key: string, item: Item, condition: Condition): Promise<boolean> {
    const id = `${this.#writerId}${(this.#writeCount++).toString(36)}`
    const input = {
      TableName: this.#sender.target.table,
      Item: { ...item, [internalNames.writeId]: { S: id } },
      ...condition,
    }
    const context: RequestContext = { operation, key }
    const failure = await this.#failureOf('PutItem', input, context)
    if (failure === undefined) return true
    // An injected client may have retried the request itself.
    if (!context.outcomeUnknown && failure.$metadata?.attempts === 1) return false
    const written = await this.get(operation, key, true)
    return written?.[internalNames.writeId]?.S === id
  }

  /** Deletes the item if the condition holds. Not retried: a deleted item cannot prove which request deleted it. */
  async deleteIf(operation: string, key: string, condition: Condition): Promise<boolean> {
    const input = { ...this.#locate(key), ...condition }
    const context = { operation, key, idempotent: false }
    return (await this.#failureOf('DeleteItem', input, context)) === undefined
  }

  /** Like `deleteIf`, but returns the deleted item. `undefined` if the condition failed. */
  async getAndDeleteIf(
    operation: string,
    key: string,
    condition: Condition,
  ): Promise<Item | undefined> {
    const input = { ...this.#locate(key), ...condition, ReturnValues: 'ALL_OLD' } as const
    const context = { operation, key, idempotent: false }
    const output = await this.#outputOf('DeleteItem', input, context)
    return output && (output.Attributes ?? {})
  }

  /** Updates the item if the condition holds. `undefined` if it failed. */
  update(
    context: RequestContext & { key: string },
    expression: string,
    condition: Condition,
    values: Item = {},
  ): Promise<UpdateItemOutput | undefined> {
    const input = {
      ...this.#locate(context.key),
      UpdateExpression: expression,
      ReturnValues: 'UPDATED_NEW',
      ...condition,
      ExpressionAttributeValues: { ...condition.ExpressionAttributeValues, ...values },
    } as const
    return this.#outputOf('UpdateItem', input, context)
  }

  /** Sends a conditional request. Returns its output, or `undefined` if the condition failed. */
  async #outputOf<A extends ConditionalAction>(
    action: A,
    input: Actions[A]['input'],
    context: RequestContext,
  ): Promise<Actions[A]['output'] | undefined> {
    try {
      return await this.#sender.send(action, input, context)
    } catch (error) {
      if (!isConditionFailure(error)) throw error
      return undefined
    }
  }

  /** Sends a conditional request. Returns the exception if the condition failed, otherwise `undefined`. */
  async #failureOf<A extends ConditionalAction>(
    action: A,
    input: Actions[A]['input'],
    context: RequestContext,
  ): Promise<ConditionFailure | undefined> {
    try {
      await this.#sender.send(action, input, context)
      return undefined
    } catch (error) {
      if (!isConditionFailure(error)) throw error
      return error as ConditionFailure
    }
  }

  #locate(key: string): { TableName: string; Key: Item } {
    return { TableName: this.#sender.target.table, Key: { [this.#keyName]: { S: key } } }
  }
}

type ConditionalAction = 'PutItem' | 'UpdateItem' | 'DeleteItem'
type ConditionFailure = Pick<ConditionalCheckFailedException, '$metadata'>
