/** Db2's failures: the message with its id, SQLSTATE and SQLCODE. */

export interface Db2Failure {
  readonly message: string
  /** Null, and code 0, when the driver had none; undefined when the failure was none of the driver's. */
  readonly state: string | null | undefined
  readonly code: number
}

/** Thrown while a statement is read. */
export class Refused extends Error {
  constructor(readonly failure: Db2Failure) {
    super(failure.message)
  }
}

const db2 = (id: string, text: string, state: string, code: number): Db2Failure => ({
  message: `[${id}] ${text}`,
  state,
  code
})

/** The driver's own failures have this code. */
const driver = (message: string, state: string): Db2Failure => ({ message, state, code: -99999 })

export const emptyText = driver("A string parameter value with zero length was detected.", "43617")
export const notConnected: Db2Failure = { message: "Not connected", state: null, code: 0 }
export const noResultSet: Db2Failure = { message: "Result set was null", state: null, code: 0 }
export const wrongParameterCount = driver(
  "The number of parameter values set or registered does not match the number of parameters.",
  "07001"
)
export const noSuchMarker = (given: number, wanted: number) =>
  driver(`Descriptor index not valid. (${given}>${wanted})`, "07009")
export const typeMismatch = driver("Data type mismatch.", "07006")
export const parameterType = driver("Parameter type not valid.", "HY105")
/** The driver's only failure with code 0. */
export const truncated: Db2Failure = { message: "Data truncation", state: "22001", code: 0 }
export const statementLimit = driver("Limit on number of statements exceeded.", "HY014")
export const functionSequence = driver("Function sequence error.", "HY010")
export const connectionGone = driver("The connection does not exist.", "08003")

export const invalidToken = (token: string) =>
  db2("SQL0104", `Token ${token} was not valid. Valid tokens: <IDENTIFIER>.`, "42601", -104)
/** Throws what Db2 says of a word that it did not expect. */
export const refuse = (token: string): never => {
  throw new Refused(invalidToken(token))
}

export const tooComplex = db2("SQL0101", "SQL statement too long or complex.", "54001", -101)
export const resultTooLong = db2("SQL0904", "Resource limit exceeded: a value is too long.", "57011", -904)
export const invalidArgument = db2("SQL0171", "Argument of function not valid.", "42815", -171)
export const untypedMarker = db2("SQL0418", "Use of parameter marker is not valid.", "42610", -418)
export const unsupported = (what: string) =>
  db2("SQL0084", `SQL statement not allowed: this development server does not know ${what}.`, "42612", -84)
export const notFound = (name: string, schema: string) =>
  db2("SQL0204", `${name} in ${schema} type *FILE not found.`, "42704", -204)
export const columnNotFound = (name: string) =>
  db2("SQL0206", `Column or global variable ${name} not found.`, "42703", -206)
export const notGrouped = (name: string) =>
  db2("SQL0122", `Column ${name} or expression in SELECT list not valid.`, "42803", -122)
export const duplicateName = (name: string) =>
  db2("SQL0121", `Duplicate column name ${name} in INSERT or UPDATE.`, "42701", -121)
export const generatedAlways = (name: string) =>
  db2("SQL0798", `Value cannot be specified for GENERATED ALWAYS column ${name}.`, "428C9", -798)
export const duplicateColumn = (name: string) => db2("SQL0612", `${name} is a duplicate column name.`, "42711", -612)
export const orderRange = db2("SQL0125", "ORDER BY column number not valid.", "42805", -125)
export const wrongType = (name: string, schema: string, type: string) =>
  db2("SQL0159", `${name} in ${schema} not type ${type}.`, "42809", -159)
export const ambiguousColumn = (name: string) => db2("SQL0203", `Name ${name} is ambiguous.`, "42702", -203)
export const routineNotFound = (name: string) =>
  db2("SQL0440", `Routine ${name} in *N not found with specified parameters.`, "42884", -440)
/** No sequence has the name. */
export const sequenceNotFound = (name: string) => db2("SQL0204", `${name} in *LIBL type *N not found.`, "42704", -204)
export const alreadyExists = (name: string, schema: string) =>
  db2("SQL0601", `${name} in ${schema} type *FILE already exists.`, "42710", -601)
export const valuesMismatch = db2("SQL0117", "Statement contains wrong number of values.", "42802", -117)
export const duplicateKey = db2("SQL0803", "Duplicate key value specified.", "23505", -803)
export const notNull = (column: string) =>
  db2("SQL0407", `Null values not allowed in column or variable ${column}.`, "23502", -407)
export const foreignKey = db2("SQL0530", "Operation not allowed by referential constraint.", "23503", -530)
export const foreignKeyDelete = db2("SQL0532", "Delete prevented by referential constraint.", "23504", -532)
export const checkConstraint = (name: string) =>
  db2("SQL0545", `INSERT, UPDATE, or MERGE not allowed by CHECK constraint ${name}.`, "23513", -545)
export const tooLong = (column: string) =>
  db2("SQL0404", `Value for column or variable ${column} too long.`, "22001", -404)
export const outOfRange = (column: string) =>
  db2("SQL0406", `Conversion error on assignment to column ${column}.`, "22003", -406)
export const noNumber = db2("SQL0420", "Character in CAST argument not valid.", "22018", -420)
export const dateSyntax = db2(
  "SQL0180",
  "Syntax of date, time, or timestamp value not valid: this development server reads YYYY-MM-DD and HH:MM:SS.",
  "22007",
  -180
)
export const noDate = db2("SQL0181", "Value in date, time, or timestamp string not valid.", "22007", -181)
export const overflow = db2(
  "SQL0413",
  "Overflow or underflow occurred during numeric data type conversion.",
  "22003",
  -413
)
export const divisionByZero = db2("SQL0802", "Data conversion or data mapping error: division by zero.", "22012", -802)
export const formatMismatch = db2("SQ20448", "Expression not valid using format string specified.", "22007", -20448)
export const substringRange = db2("SQL0138", "Argument of substringing function not valid.", "22011", -138)
export const conversion = db2("SQL0302", "Conversion error on input variable or parameter.", "22001", -302)
export const notAuthorized = db2("SQL0551", "Not authorized to object.", "42501", -551)
export const inUse = db2("SQL0913", "Row or object in use.", "57033", -913)
export const rolledBack = db2("SQL0911", "The current transaction was rolled back.", "40001", -911)
export const cancelled = db2("SQL0952", "Processing of the SQL statement ended. Reason code 10.", "57014", -952)
export const timeLimit = db2("SQL0666", "SQL query exceeds specified time limit or storage limit.", "57005", -666)
/** Of a result that was open when another statement needed the database. */
export const spoolFull = db2(
  "SQL0904",
  "Resource limit exceeded: another statement of this connection has needed the database, and what was left of this " +
    "result was too large to be kept meanwhile (limits.spooledBytes).",
  "57011",
  -904
)
export const savepointUnknown = (name: string) =>
  db2("SQL0880", `SAVEPOINT ${name} does not exist or is not valid in this context.`, "3B001", -880)
export const reservedName = (name: string) => db2("SQL0707", `Name ${name} in *N not allowed.`, "42939", -707)
export const noUnitOfWork = db2(
  "SQL0882",
  "Savepoint does not exist: savepoints need commitment control, so connect with auto commit=false.",
  "3B001",
  -882
)
export const readOnly = db2("SQL0817", "Update operation not valid: this unit of work is read-only.", "25006", -817)
export const isolationTooLate = db2(
  "SQL0428",
  "SQL statement cannot be run: it is only allowed at the start of a unit of work.",
  "25001",
  -428
)
export const routineFailed = (text: string) => db2("SQL0443", text, "38501", -443)
export const system = (text: string) => db2("SQL0901", `SQL system error: ${text}`, "58004", -901)
