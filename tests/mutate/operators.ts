/** The mutations of a source, one place at a time, as a mistake would change it: by the tree that TypeScript parses. */

import ts from "typescript";

/** One change of a source. */
export interface Mutant {
  /** The path in the project. */
  readonly file: string;
  /** The function that it is in, such as `Router.route`; `""` outside of all. */
  readonly function: string;
  readonly line: number;
  /** The name of the operator. */
  readonly operator: string;
  /** The text before. */
  readonly original: string;
  /** The text in its place. */
  readonly replacement: string;
  /** The place in the source. */
  readonly start: number;
  readonly end: number;
  /** The text of the function or constant around it. */
  readonly around: string;
  /** Names it, wherever it moves to, as long as its function keeps its name and the place its text. */
  readonly key: string;
}

const TURNED: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [ts.SyntaxKind.LessThanToken, "<="],
  [ts.SyntaxKind.LessThanEqualsToken, "<"],
  [ts.SyntaxKind.GreaterThanToken, ">="],
  [ts.SyntaxKind.GreaterThanEqualsToken, ">"],
  [ts.SyntaxKind.EqualsEqualsEqualsToken, "!=="],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken, "==="],
]);

const SWAPPED: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [ts.SyntaxKind.AmpersandAmpersandToken, "||"],
  [ts.SyntaxKind.BarBarToken, "&&"],
]);

const RECKONED: ReadonlyMap<ts.SyntaxKind, string> = new Map([
  [ts.SyntaxKind.MinusToken, "+"],
  [ts.SyntaxKind.PlusEqualsToken, "-="],
  [ts.SyntaxKind.MinusEqualsToken, "+="],
  [ts.SyntaxKind.AsteriskToken, "/"],
  [ts.SyntaxKind.SlashToken, "*"],
  [ts.SyntaxKind.PercentToken, "*"],
]);

/**
 * Finds all changes of a source.
 *
 * @param file Its path in the project.
 * @param text Its text.
 * @returns The changes, in the order of their places.
 */
export function mutantsOf(file: string, text: string): readonly Mutant[] {
  const source = ts.createSourceFile(
    file,
    text,
    ts.ScriptTarget.Latest,
    true,
    ts.ScriptKind.TS,
  );
  const mutants: Mutant[] = [];
  const counts = new Map<string, number>();
  const add = (node: ts.Node, operator: string, replacement: string) => {
    const start = node.getStart(source);
    const original = text.slice(start, node.getEnd());
    const name = nameOf(node);
    const plain = `${file} ${name}: ${operator}: ${shorten(original)}`;
    const count = (counts.get(plain) ?? 0) + 1;
    counts.set(plain, count);
    mutants.push({
      file,
      function: name,
      line: source.getLineAndCharacterOfPosition(start).line + 1,
      operator,
      original,
      replacement,
      start,
      end: node.getEnd(),
      around: around(node).getText(source),
      key: count === 1 ? plain : `${plain} (${count})`,
    });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node)) return;
    if (ts.isTypeAliasDeclaration(node) || ts.isImportDeclaration(node)) return;
    change(node, source, add);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return mutants;
}

/** Applies a change. */
export function applied(
  text: string,
  { start, end, replacement }: Mutant,
): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

type Add = (node: ts.Node, operator: string, replacement: string) => void;

function change(node: ts.Node, source: ts.SourceFile, add: Add): void {
  const textOf = (of: ts.Node) => of.getText(source);
  const negate = (condition: ts.Expression) => {
    if (isNegatedElsewhere(condition)) return;
    add(condition, "condition negated", `!(${textOf(condition)})`);
  };
  if (ts.isBinaryExpression(node)) changeBinary(node, textOf, add);
  else if (ts.isIfStatement(node)) {
    negate(node.expression);
    add(node.expression, "condition dropped", "true");
  } else if (ts.isWhileStatement(node)) negate(node.expression);
  else if (ts.isConditionalExpression(node)) negate(node.condition);
  else if (ts.isExpressionStatement(node)) {
    changeStatement(node, add);
  } else if (ts.isAwaitExpression(node) && !isReturned(node)) {
    add(node, "await left out", `(${textOf(node.expression)})`);
  } else if (ts.isReturnStatement(node)) {
    const { expression } = node;
    if (expression === undefined) add(node, "return dropped", ";");
    else if (expression.kind !== ts.SyntaxKind.Identifier) {
      add(node, "return dropped", `void (${textOf(expression)});`);
    } else if (textOf(expression) !== "undefined") {
      add(node, "return dropped", "return;");
    }
  } else if (ts.isThrowStatement(node)) add(node, "throw dropped", ";");
  else if (ts.isContinueStatement(node)) add(node, "continue dropped", ";");
  else if (ts.isNumericLiteral(node)) {
    const value = Number(node.text);
    add(node, "constant off by one", String(value + 1));
  } else if (node.kind === ts.SyntaxKind.TrueKeyword) {
    add(node, "truth turned", "false");
  } else if (node.kind === ts.SyntaxKind.FalseKeyword) {
    add(node, "truth turned", "true");
  } else if (
    ts.isPrefixUnaryExpression(node) &&
    node.operator === ts.SyntaxKind.ExclamationToken && !isCondition(node)
  ) {
    add(node, "negation dropped", `(${textOf(node.operand)})`);
  }
}

function changeBinary(
  node: ts.BinaryExpression,
  textOf: (of: ts.Node) => string,
  add: Add,
): void {
  const { kind } = node.operatorToken;
  const turned = TURNED.get(kind);
  const swapped = SWAPPED.get(kind);
  const reckoned = RECKONED.get(kind);
  if (turned !== undefined) {
    add(node.operatorToken, `comparison turned in ${textOf(node)}`, turned);
  } else if (swapped !== undefined) {
    const [left, right] = [textOf(node.left), textOf(node.right)];
    add(node, "&& and || swapped", `(${left}) ${swapped} (${right})`);
  } else if (kind === ts.SyntaxKind.QuestionQuestionToken) {
    add(node, "left of ?? dropped", `(${textOf(node.right)})`);
  } else if (reckoned !== undefined) {
    add(node.operatorToken, `arithmetic turned in ${textOf(node)}`, reckoned);
  }
}

/** Calls and assignments that stand alone are left out. */
function changeStatement(node: ts.ExpressionStatement, add: Add): void {
  let { expression } = node;
  if (ts.isAwaitExpression(expression) || ts.isVoidExpression(expression)) {
    expression = expression.expression;
  }
  if (ts.isCallExpression(expression)) {
    // Without it a constructor is no constructor.
    if (expression.expression.kind === ts.SyntaxKind.SuperKeyword) return;
    add(node, "call left out", ";");
  } else if (
    ts.isBinaryExpression(expression) ||
    ts.isPrefixUnaryExpression(expression) ||
    ts.isPostfixUnaryExpression(expression)
  ) add(node, "assignment left out", ";");
}

/** A caller that awaits the function's result waits for it all the same, outside of `try`. */
function isReturned(node: ts.AwaitExpression): boolean {
  const { parent } = node;
  if (ts.isArrowFunction(parent)) return true;
  if (!ts.isReturnStatement(parent)) return false;
  let above: ts.Node = parent;
  while (!ts.isFunctionLike(above) && !ts.isSourceFile(above)) {
    if (ts.isTryStatement(above)) return false;
    above = above.parent;
  }
  return true;
}

/** Whether another operator does the same as negating it. */
function isNegatedElsewhere(condition: ts.Expression): boolean {
  if (!ts.isBinaryExpression(condition)) return false;
  const { kind } = condition.operatorToken;
  return kind === ts.SyntaxKind.EqualsEqualsEqualsToken ||
    kind === ts.SyntaxKind.ExclamationEqualsEqualsToken;
}

/** Whether it is the whole condition of something. */
function isCondition(node: ts.Expression): boolean {
  const { parent } = node;
  if (ts.isConditionalExpression(parent)) return parent.condition === node;
  return ts.isIfStatement(parent) || ts.isWhileStatement(parent);
}

function nameOf(node: ts.Node): string {
  const names: string[] = [];
  for (let at: ts.Node = node; !ts.isSourceFile(at); at = at.parent) {
    if (
      (ts.isFunctionDeclaration(at) || ts.isMethodDeclaration(at) ||
        ts.isAccessor(at) || ts.isClassDeclaration(at) ||
        ts.isPropertyDeclaration(at) || ts.isVariableDeclaration(at)) &&
      at.name !== undefined
    ) {
      // Declarations inside of a function are its own.
      if (ts.isVariableDeclaration(at) && isInside(at)) continue;
      names.unshift(at.name.getText());
    } else if (ts.isConstructorDeclaration(at)) names.unshift("constructor");
  }
  return names.join(".");
}

/** The member of a class, or statement of a module, that something is in. */
function around(node: ts.Node): ts.Node {
  let at = node;
  while (!ts.isSourceFile(at.parent)) {
    if (ts.isClassElement(at) && ts.isClassDeclaration(at.parent)) {
      if (ts.isSourceFile(at.parent.parent)) break;
    }
    at = at.parent;
  }
  return at;
}

function isInside(node: ts.Node): boolean {
  for (let at = node.parent; !ts.isSourceFile(at); at = at.parent) {
    if (ts.isFunctionLike(at)) return true;
  }
  return false;
}

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length <= 90 ? line : `${line.slice(0, 87)}...`;
}
