export {
  type Consumption,
  ConsumptionMeter,
  type RequestEvent,
  requestChannel,
} from './capacity.ts'
export { default, dynamodb, ensureTable } from './dynamodb-driver.ts'
export type {
  AttributeNames,
  DynamoDBClient,
  DynamoDBOptions,
  TableMode,
} from './dynamodb-options.ts'
export { awsCli, cloudFormation, type TableDefinition, terraform } from './table-definitions.ts'
