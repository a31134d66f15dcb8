import { type AttributeNames, attributeNames, checkTableName } from '../dynamodb-options.ts'

/** The options of the store that concern its table. */
export interface TableDefinition {
  /** Name of the table. */
  readonly table: string
  readonly attributes?: AttributeNames | undefined
}

/**
 * The AWS CLI commands that create the table with on-demand billing and enable its TTL.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid name of the table or of an attribute
 * @example
 * console.log(awsCli({ table: 'sessions' }))
 */
export function awsCli({ table, attributes }: TableDefinition): string {
  checkTableName(table)
  const { key, ttl } = attributeNames(attributes)
  return `aws dynamodb create-table --table-name ${table} --billing-mode PAY_PER_REQUEST \\
  --attribute-definitions AttributeName=${key},AttributeType=S \\
  --key-schema AttributeName=${key},KeyType=HASH
aws dynamodb wait table-exists --table-name ${table}
aws dynamodb update-time-to-live --table-name ${table} \\
  --time-to-live-specification Enabled=true,AttributeName=${ttl}`
}

/**
 * A CloudFormation template with the table.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid name of the table or of an attribute
 * @example
 * console.log(cloudFormation({ table: 'sessions' }))
 */
export function cloudFormation({ table, attributes }: TableDefinition): string {
  checkTableName(table)
  const { key, ttl } = attributeNames(attributes)
  return `Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: ${table}
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions:
        - { AttributeName: ${key}, AttributeType: S }
      KeySchema:
        - { AttributeName: ${key}, KeyType: HASH }
      TimeToLiveSpecification: { AttributeName: ${ttl}, Enabled: true }`
}

/**
 * A Terraform resource for the table.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid name of the table or of an attribute
 * @example
 * console.log(terraform({ table: 'sessions' }))
 */
export function terraform({ table, attributes }: TableDefinition): string {
  checkTableName(table)
  const { key, ttl } = attributeNames(attributes)
  return `resource "aws_dynamodb_table" "${resourceName(table)}" {
  name         = "${table}"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "${key}"

  attribute {
    name = "${key}"
    type = "S"
  }

  ttl {
    attribute_name = "${ttl}"
    enabled        = true
  }
}`
}

/** An identifier, which begins with a letter or "_". */
function resourceName(table: string): string {
  return table.replaceAll(/[^\w-]/g, '_').replace(/^(?![A-Za-z_])/, '_')
}
