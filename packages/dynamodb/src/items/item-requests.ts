import { randomBytes } from 'node:crypto'
import {
  type ConditionalCheckFailedException,
  DeleteItemCommand,
  type DeleteItemOutput,
  GetItemCommand,
  type GetItemOutput,
  PutItemCommand,
  type PutItemOutput,
  UpdateItemCommand,
  type UpdateItemOutput,
} from '@aws-sdk/client-dynamodb'
import type { Item } from '../attributes.ts'
import { isRefusal } from '../dynamodb-errors.ts'
import { ownNames } from '../dynamodb-options.ts'
import type { Call, Command, Requests } from '../requests/request-sender.ts'
import type { Condition } from './conditions.ts'

/** Requests that are about one item of the table. */
export class ItemRequests {
  readonly #requests: Requests
  readonly #keyName: string
  /** Unlike those of any other process; the number makes each of ours its own. */
  readonly #writer = randomBytes(9).toString('base64url')
  #writes = 0

  constructor(requests: Requests, keyName: string) {
    this.#requests = requests
    this.#keyName = keyName
  }

  async read(operation: string, key: string, strong: boolean): Promise<Item | undefined> {
    const command = new GetItemCommand({ ...this.#place(key), ConsistentRead: strong })
    return (await this.#requests.send<GetItemOutput>(command, { operation, key })).Item
  }

  async put(operation: string, key: string, item: Item): Promise<void> {
    const command = new PutItemCommand({ TableName: this.#requests.target.table, Item: item })
    await this.#requests.send(command, { operation, key })
  }

  /** Puts the item, and returns the one it replaces. That is the item itself where the answer to a first attempt was lost. */
  async exchange(operation: string, key: string, item: Item): Promise<Item | undefined> {
    const { table } = this.#requests.target
    const command = new PutItemCommand({ TableName: table, Item: item, ReturnValues: 'ALL_OLD' })
    return (await this.#requests.send<PutItemOutput>(command, { operation, key })).Attributes
  }

  /**
   * Puts the item if the condition holds. It carries an id of this write: where an earlier attempt may have succeeded
   * without our knowing, so that the condition does not hold any more, the id tells.
   */
  async putIf(operation: string, key: string, item: Item, condition: Condition): Promise<boolean> {
    const id = `${this.#writer}${(this.#writes++).toString(36)}`
    const command = new PutItemCommand({
      TableName: this.#requests.target.table,
      Item: { ...item, [ownNames.token]: { S: id } },
      ...condition,
    })
    const call: Call = { operation, key }
    const refusal = await this.#sendIf(command, call)
    if (refusal === undefined) return true
    // A client of the caller's may have sent it repeatedly itself.
    if (!call.uncertain && refusal.$metadata?.attempts === 1) return false
    const written = await this.read(operation, key, true)
    return written?.[ownNames.token]?.S === id
  }

  /** Deletes the item if the condition holds. Not repeated: nothing would be left to tell who has deleted it. */
  async deleteIf(operation: string, key: string, condition: Condition): Promise<boolean> {
    const command = new DeleteItemCommand({ ...this.#place(key), ...condition })
    return (await this.#sendIf(command, { operation, key, repeatable: false })) === undefined
  }

  /** Deletes the item if the condition holds, and returns it; otherwise `undefined`. Not repeated either. */
  async take(operation: string, key: string, condition: Condition): Promise<Item | undefined> {
    const command = new DeleteItemCommand({
      ...this.#place(key),
      ...condition,
      ReturnValues: 'ALL_OLD',
    })
    const call = { operation, key, repeatable: false }
    const answer = await this.#unlessRefused<DeleteItemOutput>(command, call)
    return answer && (answer.Attributes ?? {})
  }

  /** What the update returns, or `undefined` where the condition does not hold. */
  update(
    call: Call & { key: string },
    expression: string,
    condition: Condition,
    values: Item = {},
  ): Promise<UpdateItemOutput | undefined> {
    const command = new UpdateItemCommand({
      ...this.#place(call.key),
      UpdateExpression: expression,
      ReturnValues: 'UPDATED_NEW',
      ...condition,
      ExpressionAttributeValues: { ...condition.ExpressionAttributeValues, ...values },
    })
    return this.#unlessRefused<UpdateItemOutput>(command, call)
  }

  /** The answer, or `undefined` where the condition does not hold. */
  async #unlessRefused<Output>(command: Command, call: Call): Promise<Output | undefined> {
    try {
      return await this.#requests.send<Output>(command, call)
    } catch (error) {
      if (!isRefusal(error)) throw error
      return undefined
    }
  }

  /** The refusal where the condition does not hold. */
  async #sendIf(command: Command, call: Call): Promise<Refusal | undefined> {
    try {
      await this.#requests.send(command, call)
      return undefined
    } catch (error) {
      if (!isRefusal(error)) throw error
      return error as Refusal
    }
  }

  #place(key: string): { TableName: string; Key: Item } {
    return { TableName: this.#requests.target.table, Key: { [this.#keyName]: { S: key } } }
  }
}

/** The SDK's exception for a condition that did not hold. */
type Refusal = Pick<ConditionalCheckFailedException, '$metadata'>
