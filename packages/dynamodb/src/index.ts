export { default, dynamodb, ensureTable } from './dynamodb-driver.ts'
export type {
  AttributeNames,
  DynamoDBClient,
  DynamoDBOptions,
  TableMode,
} from './dynamodb-options.ts'
export {
  type Consumption,
  ConsumptionMeter,
  type RequestEvent,
  requestChannel,
} from './requests/capacity.ts'
export {
  awsCli,
  cloudFormation,
  type TableDefinition,
  terraform,
} from './table/table-definitions.ts'
