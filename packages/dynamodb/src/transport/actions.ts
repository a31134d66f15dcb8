import {
  BatchGetItemCommand,
  type BatchGetItemInput,
  type BatchGetItemOutput,
  BatchWriteItemCommand,
  type BatchWriteItemInput,
  type BatchWriteItemOutput,
  CreateTableCommand,
  type CreateTableInput,
  type CreateTableOutput,
  DeleteItemCommand,
  type DeleteItemInput,
  type DeleteItemOutput,
  DescribeTableCommand,
  type DescribeTableInput,
  type DescribeTableOutput,
  DescribeTimeToLiveCommand,
  type DescribeTimeToLiveInput,
  type DescribeTimeToLiveOutput,
  GetItemCommand,
  type GetItemInput,
  type GetItemOutput,
  PutItemCommand,
  type PutItemInput,
  type PutItemOutput,
  ScanCommand,
  type ScanInput,
  type ScanOutput,
  UpdateItemCommand,
  type UpdateItemInput,
  type UpdateItemOutput,
  UpdateTimeToLiveCommand,
  type UpdateTimeToLiveInput,
  type UpdateTimeToLiveOutput,
} from '@aws-sdk/client-dynamodb'

/** The API actions that are used, with their input and output. */
export interface Actions {
  BatchGetItem: { input: BatchGetItemInput; output: BatchGetItemOutput }
  BatchWriteItem: { input: BatchWriteItemInput; output: BatchWriteItemOutput }
  CreateTable: { input: CreateTableInput; output: CreateTableOutput }
  DeleteItem: { input: DeleteItemInput; output: DeleteItemOutput }
  DescribeTable: { input: DescribeTableInput; output: DescribeTableOutput }
  DescribeTimeToLive: { input: DescribeTimeToLiveInput; output: DescribeTimeToLiveOutput }
  GetItem: { input: GetItemInput; output: GetItemOutput }
  PutItem: { input: PutItemInput; output: PutItemOutput }
  Scan: { input: ScanInput; output: ScanOutput }
  UpdateItem: { input: UpdateItemInput; output: UpdateItemOutput }
  UpdateTimeToLive: { input: UpdateTimeToLiveInput; output: UpdateTimeToLiveOutput }
}

export type Action = keyof Actions

type CommandClass<A extends Action> = new (input: Actions[A]['input']) => object

/** The commands of the SDK. */
export const commands: { readonly [A in Action]: CommandClass<A> } = {
  BatchGetItem: BatchGetItemCommand,
  BatchWriteItem: BatchWriteItemCommand,
  CreateTable: CreateTableCommand,
  DeleteItem: DeleteItemCommand,
  DescribeTable: DescribeTableCommand,
  DescribeTimeToLive: DescribeTimeToLiveCommand,
  GetItem: GetItemCommand,
  PutItem: PutItemCommand,
  Scan: ScanCommand,
  UpdateItem: UpdateItemCommand,
  UpdateTimeToLive: UpdateTimeToLiveCommand,
}
