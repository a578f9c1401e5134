"""Axes that several charts share."""

from __future__ import annotations

from orrery.display import Axis, Both

ROC_X = Axis(Both("False alarms (of all negatives)", "误报率（占全部反例）"), share=True)
ROC_Y = Axis(Both("Found (of all positives)", "召回率（占全部正例）"), share=True)
RECALL = Axis(Both("Recall", "召回率"), share=True)
PRECISION = Axis(Both("Precision", "精确率"), share=True)
PICKED = Axis(Both("Share of rows picked, best first", "选取的行所占比例（得分从高到低）"), share=True)
FOUND = Axis(Both("Positives found", "找到的正例"), share=True)
THRESHOLD = Axis(Both("Threshold", "阈值"), share=True)
PROBABILITY = Axis(Both("Probability said", "模型给出的概率"), share=True)
TRUE = Axis(Both("Share that came true", "实际发生的比例"), share=True)
DIAGONAL = ((0.0, 0.0), (1.0, 1.0))
